import assert from 'node:assert/strict'
import { test } from 'node:test'
import { estimateMean, mean, meanCovariance, spread } from '../../gguf/statistics.js'

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} is not ${expected}`)
}

test('a mean comes with its standard error', () => {
  const { value, error } = estimateMean(Float64Array.of(1, 2, 3, 4))
  near(value, 2.5)
  near(error, Math.sqrt(1.25 / 3))
  assert.deepEqual(estimateMean([7, 7, 7]), { value: 7, error: 0 })
  assert.deepEqual(estimateMean([3]), { value: 3, error: 0 })
})

test('the error is exact for large values that differ little', () => {
  near(estimateMean([1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3]).error, Math.sqrt(1.25 / 3))
})

test('means that go together have a covariance, and opposite ones a negative one', () => {
  const a = [1, 2, 3, 4, 5]
  near(meanCovariance(a, a), estimateMean(a).error ** 2)
  near(
    meanCovariance(
      a,
      a.map((x) => -2 * x),
    ),
    -2 * meanCovariance(a, a),
  )
  near(meanCovariance(a, [1, -1, 0, -1, 1]), 0)
})

test('percentiles lie between the values, in any order given, and leave them alone', () => {
  const values = Float64Array.from({ length: 1001 }, (_, i) => (i * 8) % 1001)
  const before = values.slice()
  const { min, max, percentiles } = spread(values)
  assert.deepEqual(values, before)
  assert.deepEqual([min, max], [0, 1000])
  for (const [share, value] of Object.entries(percentiles)) near(value, Number.parseFloat(share) * 10)
  assert.equal(Object.keys(percentiles).join(' '), '0.1% 1% 5% 10% 25% 50% 75% 90% 95% 99% 99.9%')
})

test('the median of an even number of values is the mean of the two in the middle', () => {
  assert.equal(spread(Float64Array.of(4, 1, 3, 2)).percentiles['50%'], 2.5)
  assert.equal(spread(Float64Array.of(-1)).percentiles['50%'], -1)
})

test('a mean over a part of an array', () => {
  assert.equal(mean(Float64Array.of(1, 2, 3, 4).subarray(2)), 3.5)
})
