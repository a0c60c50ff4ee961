import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { acquireLock } from '../../src/models/download/lock.js'

const timing = { heartbeat: 10, patience: 60_000, poll: 5 }
// Only where the clock is to decide: a busy machine can stand still for longer than that.
const impatient = { ...timing, patience: 150 }
// Above the largest process id of Linux.
const nobody = 4_194_305

function folder(t: TestContext): { path: string; files(): string[] } {
  const place = mkdtempSync(join(tmpdir(), 'phi2-lock-'))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  return { path: join(place, 'x.lock'), files: () => readdirSync(place) }
}

/** The lock of a process of this machine that is gone, as one of ours has left it. */
async function leaveStale(path: string): Promise<string> {
  const lock = await acquireLock(path)
  const content = JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), pid: nobody })
  await lock.release()
  writeFileSync(path, content)
  return JSON.parse(content).token
}

test('one holds the lock at a time, and each of many gets it', async (t) => {
  const { path, files } = folder(t)
  let [holders, turns] = [0, 0]
  const results = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const lock = await acquireLock(path, { timing })
      assert.equal(++holders, 1)
      await sleep(3)
      turns++
      holders--
      await lock.release()
      return lock.waited
    }),
  )
  assert.deepEqual([turns, results.filter((waited) => !waited).length, files()], [10, 1, []])
})

test('of many who find the lock of a dead process, one takes it over at a time', async (t) => {
  const { path, files } = folder(t)
  for (let round = 0; round < 15; round++) {
    await leaveStale(path)
    let holders = 0
    const started = performance.now()
    await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        await sleep(i % 3)
        const lock = await acquireLock(path, { timing: { ...timing, poll: 1 + (i % 4) } })
        assert.equal(++holders, 1)
        await sleep(i % 2)
        holders--
        await lock.release()
      }),
    )
    assert.ok(performance.now() - started < 60_000, 'the dead were not waited for')
    assert.deepEqual(files(), [])
  }
})

test('who died while taking over is passed over', async (t) => {
  const { path, files } = folder(t)
  const token = await leaveStale(path)
  writeFileSync(`${path}.${token}.1`, readFileSync(path))
  const lock = await acquireLock(path, { timing })
  await lock.release()
  assert.deepEqual(files(), [])
})

test('who is taking over, and alive, is left to it', async (t) => {
  const { path } = folder(t)
  const token = await leaveStale(path)
  const claim = `${path}.${token}.1`
  writeFileSync(claim, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), pid: process.pid }))
  let looks = 0
  const reason = new Error('enough')
  const controller = new AbortController()
  const onWait = () => {
    if (++looks === 5) controller.abort(reason)
  }
  const waiting = acquireLock(path, { timing, signal: controller.signal, onWait })
  await assert.rejects(waiting, reason)
})

test('a lock of another machine, or one that nobody can read, is taken over when it gives no sign of life', async (t) => {
  const { path } = folder(t)
  const elsewhere = { token: '00000000-0000-0000-0000-000000000000', pid: process.pid, machine: `not ${hostname()}` }
  for (const content of [JSON.stringify(elsewhere), '', '{"token":1}']) {
    writeFileSync(path, content)
    // With signs of life, for longer than anybody's patience, it stays.
    const started = performance.now()
    let [beats, last] = [0, started]
    const onWait = () => {
      if (performance.now() - started > 2 * impatient.patience) return
      last = performance.now()
      utimesSync(path, new Date(), new Date(++beats))
    }
    const lock = await acquireLock(path, { timing: impatient, onWait })
    assert.ok(performance.now() - last > impatient.patience)
    assert.ok(beats > 0)
    await lock.release()
  }
})

test('a holder that lives is not disturbed, and learns when its lock was taken away', async (t) => {
  const { path } = folder(t)
  const patience = 800
  const lock = await acquireLock(path, { timing })
  const controller = new AbortController()
  const waiting = acquireLock(path, { timing: { ...timing, patience }, signal: controller.signal })
  await sleep(1.5 * patience)
  controller.abort(new Error('enough'))
  await assert.rejects(waiting, { message: 'enough' })
  assert.ok(!lock.lost.aborted)

  unlinkSync(path)
  const other = await acquireLock(path, { timing })
  while (!lock.lost.aborted) await sleep(5)
  // It does not remove what is no longer its own.
  await lock.release()
  assert.ok(readFileSync(path, 'utf8').length > 0)
  await other.release()
})
