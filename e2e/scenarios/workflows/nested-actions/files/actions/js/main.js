console.log(`main ${process.env.INPUT_WHO}`);
console.log(`pre first: ${process.env.STATE_pre || 'no'}`);
