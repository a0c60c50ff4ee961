import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { runChild } from '../helpers/child.js'
import { temporaryFolder } from '../helpers/model.js'
import { fuseAttention, soundModel } from './gguf-variants.js'

/** Of these the header check lets about a tenth pass; the others cost no more than a look. */
const MUTATIONS = 3000

test('no damaged file kills the process: each is refused with a code, or loads and answers', async () => {
  const folder = temporaryFolder()
  const [apart, fused] = [join(folder, 'apart.gguf'), join(folder, 'fused.gguf')]
  await soundModel().write(apart)
  const model = soundModel()
  fuseAttention(model)
  await model.write(fused)
  // In a child: an assertion of the engine would take this test's process along.
  const child = await runChild(`
    import { readFile } from 'node:fs/promises'
    import { readHeader } from ${JSON.stringify(new URL('../../gguf/index.ts', import.meta.url).href)}
    import { HeaderMutator, overwrite } from ${JSON.stringify(new URL('../helpers/gguf-mutations.ts', import.meta.url).href)}
    ready()
    const outcomes = {}
    for (const [seed, path] of ${JSON.stringify([apart, fused])}.entries()) {
      const { dataOffset } = await readHeader(path)
      const whole = await readFile(path)
      const mutator = new HeaderMutator(whole.subarray(0, dataOffset), seed + 1)
      for (let count = 0; count < ${MUTATIONS / 2}; count++) {
        const header = mutator.next()
        await overwrite(path, Buffer.concat([header, whole.subarray(header.length)]))
        let outcome = 'answered'
        try {
          const phi2 = await Phi2.load({ model: path, contextSize: 256, threads: 1 })
          await phi2.complete('abc', { maxTokens: 2 })
          await phi2.close()
        } catch (error) {
          if (error.code === undefined) throw error
          outcome = error.code
        }
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      }
    }
    console.log(JSON.stringify(outcomes))`)
  assert.deepEqual([child.code, child.signal, child.stderr], [0, null, ''])
  const outcomes = JSON.parse(child.stdout.trim().split('\n').at(-1)!) as Record<string, number>
  const codes = ['answered', 'PHI2_INVALID_GGUF', 'PHI2_MODEL_LOAD_FAILED', 'PHI2_NOT_PHI2']
  for (const [code, count] of Object.entries(outcomes)) assert.ok(codes.includes(code), `${count} times ${code}`)
  assert.ok(outcomes.answered! > 100, JSON.stringify(outcomes))
  assert.ok(outcomes.PHI2_INVALID_GGUF! > 1000, JSON.stringify(outcomes))
})
