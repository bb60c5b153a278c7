// Holds an AsyncAPI document against the specification and its parser's rules: `node asyncapi_lint.mjs FILE`.
// An error or a warning makes the exit status 1; all that the parser says is printed.
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const [file] = process.argv.slice(2)
if (file === undefined) {
  console.error('usage: asyncapi_lint.mjs FILE')
  process.exit(2)
}
const { document, diagnostics } = await new Parser().parse(readFileSync(file, 'utf8'), { source: file })
for (const { severity, code, message, path } of diagnostics) {
  console.error(`${['error', 'warning', 'info', 'hint'][severity]} ${code} at /${path.join('/')}: ${message}`)
}
if (document === undefined || diagnostics.some(({ severity }) => severity <= 1)) process.exit(1)
console.log(`${document.allChannels().all().length} channels, ${document.allOperations().all().length} operations, ` +
  `${document.allMessages().all().length} messages`)
