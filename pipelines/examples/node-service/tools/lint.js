'use strict';
// A small linter without dependencies: what a reviewer would say anyhow. A service with dependencies has its own.
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

const RULES = [
  [/\bvar\b/, '`var` is hoisted: use const or let'],
  [/[^!=]==[^=]/, '`==` converts: use ==='],
  [/\s+$/, 'blanks at the end of the line'],
  [/\beval\(/, 'code from text'],
];

let found = 0;
for (const folder of process.argv.slice(2)) {
  for (const name of fs.readdirSync(folder).filter((one) => one.endsWith('.js'))) {
    const file = path.join(folder, name);
    execFileSync(process.execPath, ['--check', file], { stdio: 'inherit' });
    // Its own rules would be found in this file.
    if (path.resolve(file) === __filename) continue;
    fs.readFileSync(file, 'utf8').split('\n').forEach((line, index) => {
      for (const [pattern, text] of RULES) {
        if (pattern.test(line)) {
          found += 1;
          console.log(`::error file=${file},line=${index + 1}::${text}`);
        }
      }
    });
  }
}
process.exitCode = found === 0 ? 0 : 1;
