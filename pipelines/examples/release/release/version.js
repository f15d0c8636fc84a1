'use strict';
// The version that the tag names, which must be the one that package.json has.
const { version } = require('../package.json');
const tag = process.env.TAG;

if (!/^v\d+\.\d+\.\d+$/.test(tag) || tag !== `v${version}`) {
  console.error(`the tag ${tag} does not name the version ${version} of package.json; run the pipeline "bump"`);
  process.exit(1);
}
console.log(`version=${version}`);
