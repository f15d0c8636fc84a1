'use strict';

function frontPage() {
  return 'Welcome to the shop.\n';
}

module.exports = { frontPage };
