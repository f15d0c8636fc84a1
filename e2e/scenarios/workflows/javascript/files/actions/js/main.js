const fs = require('fs');
const who = process.env.INPUT_WHO;
console.log(`main ${who}`);
fs.appendFileSync(process.env.GITHUB_OUTPUT, `said=said ${who}\n`);
fs.appendFileSync(process.env.GITHUB_STATE, `who=${who}\n`);
if (who === 'fail') process.exitCode = 1;
