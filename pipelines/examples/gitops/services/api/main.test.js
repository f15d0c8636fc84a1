'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { answer, price } = require('./main.js');

test('prices have two digits behind the point', () => {
  assert.strictEqual(price(4905), '49.05');
  assert.strictEqual(price(5), '0.05');
});

test('what is not there is not found', () => assert.strictEqual(answer('/x')[0], 404));
