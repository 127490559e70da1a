// The npm package `eventsource`, which reconnects and resumes by itself.
// usage: node eventsource.mjs URL [event name ...]
import { EventSource } from 'eventsource'

const report = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const [url, ...names] = process.argv.slice(2)
const source = new EventSource(url)
const received = (event) => report({ what: 'event', id: event.lastEventId, name: event.type, data: event.data })

source.onopen = () => report({ what: 'open' })
source.onmessage = received
for (const name of names) {
  // A telemetry event of the type `error` shares its name with EventSource's own error; only the former has data.
  source.addEventListener(name, (event) => event.data !== undefined && received(event))
}
source.addEventListener('error', (event) => {
  if (event.data !== undefined) return
  // The package tells a clean end (no message) from a broken connection (a message).
  report({ what: 'lost', clean: event.message === undefined, why: event.message ?? 'end of the response', state: source.readyState })
})
