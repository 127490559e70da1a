// EventSource in Debian's chromium, headless. One browser; each line on stdin opens or closes a page:
//   {"open": label, "base": "http://127.0.0.1:PORT", "path": "/api/telemetry/stream?...", "names": [...]}   {"close": label}
//
// Where the page comes from: the service has no page of its own yet and allows no other origin, so each page is a document
// of the service's own origin (`/health/live`, whatever it says) into which the script is put. Its EventSource talks to the
// service directly, with web security on and nothing in between: the request, the loss of the connection and the reconnect
// are the browser's own. Only the tests that cut the byte stream on purpose put a proxy between the two, and say so.
// Each page has its own context, since a browser gives one profile no more than six connections to a host.
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const report = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// Runs inside the page.
function listen({ path, names }) {
  const source = new EventSource(path)
  const received = (event) => window.report({ what: 'event', id: event.lastEventId, name: event.type, data: event.data })
  source.onopen = () => window.report({ what: 'open' })
  source.onmessage = received
  for (const name of names) {
    // A telemetry event of the type `error` shares its name with EventSource's own error; only the former has data.
    source.addEventListener(name, (event) => event.data !== undefined && received(event))
  }
  source.addEventListener('error', (event) => {
    if (event.data === undefined) window.report({ what: 'lost', state: source.readyState })
  })
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
})
const pages = new Map()

async function open({ open: label, base, path, names }) {
  const context = await browser.newContext()
  const page = await context.newPage()
  pages.set(label, context)
  await page.exposeFunction('report', (line) => report({ page: label, ...line }))
  // How each request for the stream ended, which the page itself is not told.
  const ended = (clean) => (request) => {
    if (request.url().includes('/api/telemetry/stream')) {
      report({ page: label, what: 'ended', clean, why: request.failure()?.errorText ?? 'end of the response' })
    }
  }
  page.on('requestfinished', ended(true))
  page.on('requestfailed', ended(false))
  await page.goto(base + '/health/live')
  // The first bytes of each response, which only the developer tools show: the head with its cursor makes no event.
  const tools = await context.newCDPSession(page)
  const begun = new Set()
  tools.on('Network.dataReceived', ({ requestId, dataLength }) => {
    if (dataLength > 0 && begun.size < begun.add(requestId).size) report({ page: label, what: 'bytes' })
  })
  await tools.send('Network.enable')
  await page.evaluate(listen, { path, names })
}

report({ what: 'started', version: browser.version() })
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  if (command.open) {
    open(command).catch((error) => report({ page: command.open, what: 'failed', why: String(error) }))
  } else {
    await pages.get(command.close)?.close()
    pages.delete(command.close)
  }
}
await browser.close()
