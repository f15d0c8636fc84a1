'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { next } = require('./main.js');

test('the oldest that is due comes first', () => {
  assert.deepStrictEqual(next([{ at: 5 }, { at: 2 }, { at: 9 }], 6), { at: 2 });
});
test('what is not due waits', () => assert.strictEqual(next([{ at: 9 }], 6), null));
