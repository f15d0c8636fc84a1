'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { page } = require('./main.js');

test('it has a page', () => assert.match(page('/'), /shop/));
