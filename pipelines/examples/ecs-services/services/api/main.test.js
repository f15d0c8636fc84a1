'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { answer } = require('./main.js');

test('it has things', () => assert.strictEqual(answer('/things')[1].length, 2));
test('what is not there is not found', () => assert.strictEqual(answer('/x')[0], 404));
