const fs = require("fs");
fs.appendFileSync(process.env.GITHUB_STATE, `file=${process.env.INPUT_UNTIL}\n`);
console.log("begun");
const timer = setInterval(() => {
  if (!fs.existsSync(process.env.INPUT_UNTIL)) return;
  clearInterval(timer);
  fs.appendFileSync(process.env.GITHUB_OUTPUT, "said=hi\n");
  fs.appendFileSync(process.env.GITHUB_ENV, "WORD=word\n");
}, 50);
