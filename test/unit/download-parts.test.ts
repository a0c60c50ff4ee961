import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Failures } from '../../src/models/download/failures.js'
import { Intervals } from '../../src/models/download/intervals.js'
import { ifRange, sameFile, sameValidator } from '../../src/models/download/remote-file.js'
import { isTransient, retryDelay } from '../../src/models/download/retry.js'
import { Speed } from '../../src/models/download/speed.js'
import { AskAnew, Exhausted } from '../../src/models/download/transfer.js'
import { HttpError } from '../../src/models/http.js'

test('intervals are the same as a set of bytes, whatever is added in whichever order', () => {
  const size = 60
  const piece = fc.tuple(fc.nat(size), fc.nat(size))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.integer({ min: 1, max: 20 }), (pieces, pieceSize) => {
      const intervals = new Intervals()
      const bytes = new Set<number>()
      for (const [start, end] of pieces) {
        intervals.add(start, end)
        for (let i = start; i < end; i++) bytes.add(i)
      }
      assert.equal(intervals.total, bytes.size)
      let prefix = 0
      while (bytes.has(prefix)) prefix++
      assert.equal(intervals.prefix, prefix)
      const gaps = intervals.gaps(size, pieceSize)
      const missing = gaps.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i))
      assert.deepEqual(
        missing,
        Array.from({ length: size }, (_, i) => i).filter((i) => !bytes.has(i)),
      )
      assert.ok(gaps.every(({ start, end }) => end - start <= pieceSize))
      const [from = 0, to = size] = pieces[0] ?? []
      const within = intervals
        .missing(from, to)
        .flatMap(({ start, end }) => missing.filter((i) => start <= i && i < end))
      assert.deepEqual(
        within,
        missing.filter((i) => from <= i && i < to),
      )
      const copy = Intervals.parse(JSON.parse(JSON.stringify(intervals)), size)
      assert.deepEqual([copy.total, copy.toJSON()], [intervals.total, intervals.toJSON()])
      // Touching ones are joined, so that the list stays short.
      const list = intervals.toJSON()
      assert.ok(list.every(([start], i) => i === 0 || start > list[i - 1]![1]))
    }),
  )
})

test('intervals from a damaged state file are refused', () => {
  for (const odd of [null, 'x', {}, [[1]], [[5, 5]], [[5, 4]], [[-1, 4]], [[0, 11]], [[0.5, 1]], [['0', 1]], [null]]) {
    assert.throws(() => Intervals.parse(odd, 10), JSON.stringify(odd))
  }
})

test('a file is the same by the hub’s hash, else by its place and validator', () => {
  const file = { name: 'http://a/x', size: 10, validator: { etag: '"1"' }, sha256: undefined }
  assert.ok(sameFile(file, { ...file }))
  assert.ok(!sameFile(file, { ...file, size: 11 }))
  assert.ok(!sameFile(file, { ...file, name: 'http://b/x' }))
  assert.ok(!sameFile(file, { ...file, validator: { etag: '"2"' } }))
  for (const vague of [{ validator: {} }, { validator: { etag: 'W/"1"' } }, { size: undefined }]) {
    assert.ok(!sameFile({ ...file, ...vague }, { ...file, ...vague }), JSON.stringify(vague))
  }
  const hashed = { ...file, sha256: 'a' }
  assert.ok(sameFile(hashed, { ...hashed, name: 'http://b/x', validator: { etag: '"2"' } }))
  assert.ok(!sameFile(hashed, { ...hashed, sha256: 'b' }))
})

test('the ETag decides before the date, and a weak one is no condition for a range', () => {
  assert.ok(sameValidator({ etag: 'W/"1"' }, { etag: '"1"' }))
  assert.ok(!sameValidator({ etag: '"1"', lastModified: 'x' }, { etag: '"2"', lastModified: 'x' }))
  assert.ok(!sameValidator({ etag: '"1"', lastModified: 'x' }, { lastModified: 'x' }))
  assert.ok(sameValidator({ lastModified: 'x' }, { lastModified: 'x' }))
  assert.deepEqual(ifRange({ etag: '"1"', lastModified: 'x' }), { 'if-range': '"1"' })
  assert.deepEqual(ifRange({ etag: 'W/"1"', lastModified: 'x' }), {})
  assert.deepEqual(ifRange({ lastModified: 'x' }), { 'if-range': 'x' })
})

const policy = { attempts: 5, firstDelay: 1000, maxDelay: 10_000, maxRetryAfter: 60_000 }
const failure = (details: ConstructorParameters<typeof HttpError>[2]) =>
  new HttpError('PHI2_DOWNLOAD_FAILED', '', details)
const asks = (retryAfter: string) => failure({ status: 503, headers: { 'retry-after': retryAfter } })

test('delays double up to a limit, with chance; what the server asks for goes before, up to a limit', () => {
  const delays = [1, 2, 3, 4, 5, 6].map((failures) => retryDelay(policy, failures, failure({}), () => 0))
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 10_000, 10_000])
  assert.equal(
    retryDelay(policy, 1, failure({}), () => 1),
    500,
  )
  assert.equal(
    retryDelay(policy, 1, asks('7'), () => 1),
    7000,
  )
  assert.equal(
    retryDelay(policy, 1, asks('86400'), () => 1),
    60_000,
  )
  assert.equal(retryDelay(policy, 1, asks(new Date(Date.now() - 5000).toUTCString())), 0)
})

test('troubles of the server and the network are worth another try, refusals are not', () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504])
    assert.ok(isTransient(failure({ status }), false), `${status}`)
  for (const status of [400, 401, 403, 404, 410, 416, 451])
    assert.ok(!isTransient(failure({ status }), true), `${status}`)
  for (const reason of ['ECONNRESET', 'ETIMEDOUT', 'EAI_AGAIN', undefined]) {
    assert.ok(isTransient(failure({ reason }), false), reason)
  }
  for (const reason of ['ENOTFOUND', 'ECONNREFUSED']) {
    assert.deepEqual([isTransient(failure({ reason }), false), isTransient(failure({ reason }), true)], [false, true])
  }
  for (const reason of ['CERT_HAS_EXPIRED', 'SELF_SIGNED_CERT_IN_CHAIN', 'ERR_TLS_CERT_ALTNAME_INVALID']) {
    assert.ok(!isTransient(failure({ reason }), true), reason)
  }
  assert.ok(!isTransient(new Error('disk'), true))
})

test('a download is given up after so many failures without progress, and at once when its connections gave up', () => {
  const cut = failure({ reason: 'ECONNRESET' })
  const failures = new Failures({ ...policy, attempts: 2 })
  assert.ok(failures.next(cut, false, true)! > 0)
  assert.ok(failures.next(cut, false, true)! > 0)
  assert.ok(failures.next(cut, true, true)! > 0)
  assert.ok(failures.next(new Exhausted(cut), true, true)! > 0)
  assert.ok(failures.next(cut, false, true)! > 0)
  assert.equal(failures.next(cut, false, true), undefined)
  assert.equal(new Failures(policy).next(new Exhausted(cut), false, true), undefined)
  assert.equal(new Failures(policy).next(failure({ status: 404 }), false, false), undefined)
  assert.equal(new Failures(policy).next(new Error('disk'), true, true), undefined)
})

test('the server is asked anew at once the first time, and for the whole file when it gives no parts', () => {
  const failures = new Failures(policy)
  const anew = (withoutPart: boolean) => new AskAnew(failure({}), withoutPart)
  assert.equal(failures.next(anew(false), true, true), 0)
  assert.ok(failures.next(anew(false), false, true)! > 0)
  assert.ok(failures.partsWork)
  failures.next(anew(true), false, true)
  failures.next(anew(true), true, true)
  assert.ok(failures.partsWork)
  failures.next(anew(true), false, true)
  assert.ok(!failures.partsWork)
})

test('the speed is that of the last seconds', () => {
  const speed = new Speed(5000)
  assert.equal(speed.record(0, 0), 0)
  assert.equal(speed.record(0.01, 100), 0)
  assert.equal(speed.record(1000, 100), 100)
  for (let second = 2; second <= 10; second++) speed.record(second * 1000, 100)
  assert.equal(speed.record(11_000, 100), 0)
  assert.equal(speed.record(12_000, 700), 120)
  assert.equal(speed.record(13_000, 0), 0)
})
