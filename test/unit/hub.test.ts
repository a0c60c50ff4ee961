import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type Environment, formatRef, locate, parseRemoteRef } from '../../src/models/hub.js'
import { temporaryFolder } from '../helpers/model.js'

// A home without a token of the developer's.
const HOME = temporaryFolder()

function located(text: string, environment: Environment = {}) {
  const ref = parseRemoteRef(text, environment)
  assert.ok(ref, text)
  return locate(ref, { HOME, ...environment })
}

describe('a reference', () => {
  const file = 'https://huggingface.co/org/name/resolve'

  for (const [text, url, fileName, source] of [
    ['hf:org/name/a.gguf', `${file}/main/a.gguf`, 'a.gguf', 'hf:org/name/a.gguf'],
    ['hf:org/name/a.gguf@0123abc', `${file}/0123abc/a.gguf`, 'a.gguf', 'hf:org/name/a.gguf@0123abc'],
    ['hf:org/name/b c/d#%.gguf', `${file}/main/b%20c/d%23%25.gguf`, 'd#%.gguf', 'hf:org/name/b c/d#%.gguf'],
    ['hf:org/name/a.gguf@refs/pr/1', `${file}/refs%2Fpr%2F1/a.gguf`, 'a.gguf', 'hf:org/name/a.gguf@refs/pr/1'],
    [`${file}/main/x/a%20b.gguf?download=true`, `${file}/main/x/a%20b.gguf`, 'a b.gguf', 'hf:org/name/x/a b.gguf@main'],
    ['https://huggingface.co/org/name/blob/main/a.gguf', `${file}/main/a.gguf`, 'a.gguf', 'hf:org/name/a.gguf@main'],
    [
      'modelscope:org/name/b c/d&e.gguf',
      'https://www.modelscope.cn/api/v1/models/org/name/repo?Revision=master&FilePath=b+c%2Fd%26e.gguf',
      'd&e.gguf',
      'modelscope:org/name/b c/d&e.gguf',
    ],
    [
      'modelscope:org/name/a.gguf@v1.0',
      'https://www.modelscope.cn/api/v1/models/org/name/repo?Revision=v1.0&FilePath=a.gguf',
      'a.gguf',
      'modelscope:org/name/a.gguf@v1.0',
    ],
    [
      'https://modelscope.cn/models/org/name/resolve/master/a.gguf',
      'https://modelscope.cn/api/v1/models/org/name/repo?Revision=master&FilePath=a.gguf',
      'a.gguf',
      'modelscope:org/name/a.gguf@master',
    ],
    ['https://host/p/a.gguf?key=1#x', 'https://host/p/a.gguf?key=1#x', 'a.gguf', 'https://host/p/a.gguf'],
    ['HTTP://Host:81/a%2Fb%3A.gguf', 'http://host:81/a%2Fb%3A.gguf', 'a_b_.gguf', 'http://host:81/a%2Fb%3A.gguf'],
    ['https://host/', 'https://host/', 'model.gguf', 'https://host/'],
    ['https://host/%2e%2e', 'https://host/', 'model.gguf', 'https://host/'],
    ['https://host/%E0', 'https://host/%E0', '%E0', 'https://host/%E0'],
  ] as const) {
    it(`${text} is ${url}`, () => {
      assert.deepEqual(located(text), { url, headers: {}, fileName, source })
    })
  }

  it('without a path means the repository', () => {
    assert.deepEqual(parseRemoteRef('hf:org/name@main'), {
      hub: 'huggingface',
      repository: 'org/name',
      path: undefined,
      revision: 'main',
    })
    assert.equal(formatRef(parseRemoteRef('modelscope:org/name')!), 'modelscope:org/name')
  })

  it('is told from names and paths', () => {
    for (const text of ['q4_k_m', './hf:x', 'C:\\models\\a.gguf', '/a.gguf', 'https.gguf', 'hfx:org/name/a']) {
      assert.equal(parseRemoteRef(text), undefined, text)
    }
  })

  for (const text of [
    'hf:',
    'hf:name',
    'hf:org/',
    'hf:../name/a.gguf',
    'hf:org/../a.gguf',
    'hf:org/name/../a.gguf',
    'hf:org/name/a/../../b.gguf',
    'hf:org/name//a.gguf',
    'hf:org/name/a.gguf/',
    'hf:org/name/a\\b.gguf',
    'hf:org/name/a\0.gguf',
    'hf:org/name/a\x9b.gguf',
    'hf:org/name/c:a.gguf',
    'hf:org/name/a.gguf@',
    'hf:org/name/a.gguf@../x',
    'modelscope:org name/a/b.gguf',
    'https://huggingface.co/org/name/resolve/main/..%2f..%2fa.gguf',
    'https://',
  ]) {
    it(`${JSON.stringify(text)} is refused`, () => {
      assert.throws(() => parseRemoteRef(text, {}), { name: 'Phi2Error', code: 'PHI2_UNKNOWN_MODEL' })
    })
  }

  it('with a password is refused without repeating it', () => {
    assert.throws(
      () => parseRemoteRef('https://me:secret@host/a.gguf'),
      (error: Error) => {
        assert.match(error.message, /host.*HF_TOKEN/)
        assert.doesNotMatch(error.message, /secret/)
        return true
      },
    )
  })
})

describe('HF_ENDPOINT', () => {
  it('names another hub, with or without a slash at its end', () => {
    for (const HF_ENDPOINT of [
      'http://127.0.0.1:8080/hub',
      'http://127.0.0.1:8080/hub//',
      ' http://127.0.0.1:8080/hub ',
    ]) {
      const { url } = located('hf:org/name/a.gguf@1', { HF_ENDPOINT })
      assert.equal(url, 'http://127.0.0.1:8080/hub/org/name/resolve/1/a.gguf')
    }
    assert.match(located('hf:org/name/a.gguf', { HF_ENDPOINT: '' }).url, /^https:\/\/huggingface\.co\//)
  })

  it('leaves addresses of the other hub alone', () => {
    const { url } = located('https://huggingface.co/o/n/blob/main/a.gguf', { HF_ENDPOINT: 'https://mirror' })
    assert.equal(url, 'https://huggingface.co/o/n/resolve/main/a.gguf')
    assert.match(
      located('modelscope:o/n/a.gguf', { HF_ENDPOINT: 'https://mirror' }).url,
      /^https:\/\/www\.modelscope\.cn/,
    )
  })

  it('must be an address', () => {
    for (const HF_ENDPOINT of ['mirror.example', 'ftp://mirror', 'file:///etc', 'https://me:secret@mirror']) {
      assert.throws(
        () => located('hf:org/name/a.gguf', { HF_ENDPOINT }),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'PHI2_INVALID_OPTION')
          assert.match(error.message, /HF_ENDPOINT/)
          assert.doesNotMatch(error.message, /secret/)
          return true
        },
      )
    }
  })

  it('has its fellow in MODELSCOPE_DOMAIN, a host or an address', () => {
    for (const MODELSCOPE_DOMAIN of ['www.modelscope.ai', 'https://www.modelscope.ai/']) {
      const { url } = located('modelscope:o/n/a.gguf', { MODELSCOPE_DOMAIN })
      assert.equal(url, 'https://www.modelscope.ai/api/v1/models/o/n/repo?Revision=master&FilePath=a.gguf')
    }
  })
})

describe('the token', () => {
  const bearer = (text: string, environment: Environment) => located(text, environment).headers.authorization

  it('goes to Hugging Face, or to the hub in HF_ENDPOINT, and nowhere else', () => {
    const HF_TOKEN = 'hf_secret'
    assert.equal(bearer('hf:o/n/a', { HF_TOKEN }), 'Bearer hf_secret')
    assert.equal(bearer('https://huggingface.co/o/n/blob/main/a', { HF_TOKEN }), 'Bearer hf_secret')
    assert.equal(bearer('hf:o/n/a', { HF_TOKEN, HF_ENDPOINT: 'http://localhost:1' }), 'Bearer hf_secret')
    for (const text of [
      'modelscope:o/n/a',
      'https://host/a',
      'http://huggingface.co/o/n/resolve/main/a',
      'https://huggingface.co.evil.example/o/n/resolve/main/a',
      'https://huggingface.co:444/o/n/resolve/main/a',
    ]) {
      assert.equal(bearer(text, { HF_TOKEN }), undefined, text)
    }
    assert.equal(
      bearer('https://huggingface.co/o/n/resolve/main/a', { HF_TOKEN, HF_ENDPOINT: 'https://mirror' }),
      undefined,
    )
  })

  it('is found where the hub’s own tools look', () => {
    const folder = temporaryFolder()
    for (const place of ['home/.cache/huggingface', 'xdg/huggingface', 'hf', 'elsewhere']) {
      mkdirSync(join(folder, place), { recursive: true })
      writeFileSync(join(folder, place, 'token'), `${place.split('/')[0]}\n`)
    }
    const at = (name: string) => join(folder, name)
    const environment = { HOME: at('home') }
    assert.equal(bearer('hf:o/n/a', environment), 'Bearer home')
    assert.equal(bearer('hf:o/n/a', { ...environment, XDG_CACHE_HOME: at('xdg') }), 'Bearer xdg')
    assert.equal(bearer('hf:o/n/a', { ...environment, HF_HOME: at('hf') }), 'Bearer hf')
    assert.equal(bearer('hf:o/n/a', { HOME: folder, HF_HOME: '~/hf' }), 'Bearer hf')
    const path = at('elsewhere/token')
    assert.equal(bearer('hf:o/n/a', { ...environment, HF_HOME: at('hf'), HF_TOKEN_PATH: path }), 'Bearer elsewhere')
    assert.equal(bearer('hf:o/n/a', { ...environment, HF_TOKEN: 'given', HF_TOKEN_PATH: path }), 'Bearer given')
    assert.equal(bearer('hf:o/n/a', { ...environment, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }), undefined)
  })

  it('that could not stand in a header is passed over', () => {
    assert.equal(bearer('hf:o/n/a', { HF_TOKEN: 'a\r\nx: y' }), undefined)
    assert.equal(bearer('hf:o/n/a', { HF_TOKEN: '  ' }), undefined)
  })
})
