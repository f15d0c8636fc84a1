'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { page } = require('./main.js');

test('names are shown as text', () => {
  assert.strictEqual(page(['a<b']), '<ul><li>a&lt;b</li></ul>');
});
