'use strict';
// licences.js LICENCE…: fails when something that the service depends on has another licence than these, or none.
const { packages } = require('../package-lock.json');

const allowed = new Set(process.argv.slice(2));
// `(MIT OR GPL-3.0)` is good when one of them is.
const good = (licence) => (licence || '').replace(/[()]/g, '').split(' OR ').some((one) => allowed.has(one));
const bad = Object.entries(packages).filter(([path, one]) => path !== '' && !one.dev && !one.link && !good(one.license));
for (const [path, one] of bad) {
  console.log(`::error file=package-lock.json::${path} ${one.version}: ${one.license || 'no licence'} is not allowed`);
}
console.log(`${Object.keys(packages).length - 1} packages, ${bad.length} not allowed`);
process.exitCode = bad.length === 0 ? 0 : 1;
