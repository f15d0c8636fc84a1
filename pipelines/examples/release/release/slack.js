'use strict';
// Says in Slack how the release ended.
const { SLACK_WEBHOOK, TAG, RESULT, HALF_A, TIDEGATE_REPOSITORY, TIDEGATE_RUN_URL } = process.env;

function text() {
  const run = `${TIDEGATE_REPOSITORY} ${TAG} (<${TIDEGATE_RUN_URL}|run>)`;
  if (RESULT === 'succeeded') return `:rocket: ${run} is in production`;
  if (HALF_A === 'succeeded') return `:warning: ${run} is in one half of production, and the other went back`;
  return `:x: ${run} did not reach production`;
}

fetch(SLACK_WEBHOOK, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ text: text() }),
}).then((answer) => {
  if (!answer.ok) throw new Error(`Slack answered ${answer.status}`);
  console.log('told');
});
