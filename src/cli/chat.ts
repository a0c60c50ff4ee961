import type { ChatOptions, SavedChat } from '../types.js'
import { readChat } from './chat-file.js'
import { type CliContext, defineCommand } from './command.js'
import { UsageError } from './errors.js'
import { withModel } from './load.js'
import { generateFlags, generateOptions, loadFlags, loadOptions, statsFlag } from './options.js'
import { type ReplStreams, runRepl } from './repl.js'

// Nothing in a chat shows log-probabilities, or more than one answer.
const { logprobs: _, topLogprobs: __, choices: ___, ...sampling } = generateFlags

export const chat = defineCommand({
  name: 'chat',
  usage: 'chat [options]',
  summary: 'Talk with Phi-2 (its Alice/Bob format)',
  notes: 'Type /help inside for its commands. With piped input each line is a turn, and only the answers are printed.',
  options: {
    user: { type: 'string', doc: 'Your name in the conversation', default: 'Alice', group: 'Chat:' },
    assistant: { type: 'string', doc: 'The name of the one who answers', default: 'Bob', group: 'Chat:' },
    head: { type: 'string', doc: 'Text before the first turn, never dropped', group: 'Chat:' },
    load: { type: 'string', doc: 'Go on with a chat saved by /save', group: 'Chat:' },
    ...statsFlag,
    ...sampling,
    ...loadFlags,
  },
  examples: [
    ['phi2 chat', 'open a chat'],
    ['phi2 chat --assistant Ben --head "Ben is a gardener."', 'another speaker'],
    ['phi2 chat --load yesterday.json', 'go on with a saved chat'],
  ],
  async run({ values, words, context }) {
    if (words.length > 0) {
      throw new UsageError(`phi2 chat takes no argument, found ${words[0]}. One question alone is phi2 ask.`)
    }
    const { load, user, assistant, head } = values
    const speakers: ChatOptions = {
      ...(user === undefined ? {} : { user }),
      ...(assistant === undefined ? {} : { assistant }),
      ...(head === undefined ? {} : { head }),
    }
    if (load !== undefined && Object.keys(speakers).length > 0) {
      throw new UsageError('A saved chat has its own speakers and head: leave out --user, --assistant and --head.')
    }
    const start: ChatOptions | SavedChat = load === undefined ? speakers : await readChat(load)
    return withModel(
      context,
      loadOptions(values),
      (phi2) =>
        runRepl(phi2, replStreams(context), {
          chat: start,
          generate: generateOptions(values),
          stats: values.stats === true,
          debug: Boolean(context.env.PHI2_DEBUG),
          signal: context.signal,
        }),
      { offer: true },
    )
  },
})

/** At a terminal whose standard output goes elsewhere, prompts are shown on standard error. */
function replStreams({ stdin, stdout, stderr }: CliContext): ReplStreams {
  const screen = stdout.isTTY ? stdout : stderr.isTTY ? stderr : undefined
  return { input: stdin, output: stdout, notes: stderr, terminal: stdin.isTTY ? screen : undefined }
}
