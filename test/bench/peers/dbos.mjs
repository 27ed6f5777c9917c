// DBOS: a workflow of one step, from a queue that is polled often; and one of
// five steps, started where it runs, without a queue.  Each step commits its
// effect, then DBOS its record.

import { DBOS } from '@dbos-inc/dbos-sdk';
import { CHAIN, CONCURRENCY, chainEnds, effect, makePool, portions, runChains, slowEffect } from './common.mjs';

const QUEUE = 'bench';
const BATCHES = process.env.FT_BENCH_BATCHES !== 'off';
const pool = makePool();

// A step that fails ends its workflow, unless it may be tried again.
function step(name, action) {
  return DBOS.runStep(() => action().then(() => null), { name, retriesAllowed: true, maxAttempts: 10, intervalSeconds: 0.5 });
}

const workflows = {
  step: DBOS.registerWorkflow((execution) => step('step', () => effect(pool, execution)), { name: 'step' }),
  slow: DBOS.registerWorkflow((execution) => step('slow', () => slowEffect(pool, execution)), { name: 'slow' }),
  chain: DBOS.registerWorkflow(
    async (execution) => {
      for (let number = 1; number <= CHAIN; number += 1) {
        await step(`step${number}`, () => effect(pool, execution, number));
      }
      chainEnds.emit(String(execution));
    },
    { name: 'chain' },
  ),
};

async function open() {
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: `postgresql://${process.env.PGUSER}@localhost/${process.env.PGDATABASE}`,
    systemDatabasePool: makePool(),
    applicationVersion: 'bench',
    executorID: 'bench',
    useListenNotify: true,
    logLevel: 'error',
  });
  await DBOS.launch();
}

export default {
  // This process does not run what it enqueues: it has not registered the queue.
  async enqueue(count, name) {
    await open();
    for (const executions of portions(count, 50)) {
      await Promise.all(
        executions.map((execution) => DBOS.startWorkflow(workflows[name], { queueName: QUEUE })(execution)),
      );
    }
  },

  async work() {
    await open();
    await DBOS.registerQueue(QUEUE, { workerConcurrency: BATCHES ? 100 : CONCURRENCY, minPollingIntervalMs: 10 });
  },

  async chain(count) {
    await open();
    // the start of a workflow is a transaction of DBOS's own
    await pool.query(`
      CREATE FUNCTION note_start() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO started (execution) VALUES (split_part(NEW.workflow_uuid, '-', 2)::int); RETURN NULL; END $$`);
    await pool.query(`
      CREATE TRIGGER note_start AFTER INSERT ON dbos.workflow_status
      FOR EACH ROW WHEN (NEW.workflow_uuid LIKE 'chain-%') EXECUTE FUNCTION note_start()`);
    await runChains(count, (execution) => DBOS.startWorkflow(workflows.chain, { workflowID: `chain-${execution}` })(execution));
  },

  async close() {
    await DBOS.shutdown();
  },
};
