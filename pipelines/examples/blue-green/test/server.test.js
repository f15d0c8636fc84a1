'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { answer } = require('../src/server.js');

test('it says which version it is', () => {
  assert.deepStrictEqual(answer('/version', 'abc'), [200, 'abc\n']);
});

test('what is not there is not found', () => {
  assert.strictEqual(answer('/elsewhere', 'abc')[0], 404);
});
