require('fs').appendFileSync(process.env.GITHUB_STATE, 'pre=yes\n');
