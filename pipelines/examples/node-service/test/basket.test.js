'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { total } = require('../src/basket.js');

test('nothing costs nothing', () => {
  assert.strictEqual(total([]), 0);
});

test('prices count as often as things are there', () => {
  assert.strictEqual(total([{ price: 250, count: 2 }, { price: 99, count: 1 }]), 599);
});
