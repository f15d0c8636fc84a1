const fs = require('fs');
const file = process.env.RUNNER_TEMP + '/posts';
const before = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').length : 0;
console.log(`posts before: ${before}, job ${process.env.INPUT_STATUS}`);
fs.appendFileSync(file, 'x');
