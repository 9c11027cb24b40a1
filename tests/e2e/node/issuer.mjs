// An OpenID Connect issuer, oauth2-mock-server as it is, over HTTPS on loopback.
//
//     node issuer.mjs KEY-FILE CERTIFICATE-FILE
//
// It prints its URL and then answers each line of its input, a JSON object, with a line:
//
//     {"generate": "ES256"}                      a new key, published beside the others; its id
//     {"kid": "...", "claims": {"sub": "app"}}   a token by that key (the first if none is named), with these claims
import { createInterface } from 'node:readline'
import { OAuth2Server } from 'oauth2-mock-server'

const [key, certificate] = process.argv.slice(2)
const server = new OAuth2Server(key, certificate)
await server.issuer.keys.generate('RS256')
await server.start(0, '127.0.0.1')
server.issuer.url = `https://127.0.0.1:${server.address().port}`
console.log(server.issuer.url)

for await (const line of createInterface({ input: process.stdin })) {
  const { generate, kid, claims } = JSON.parse(line)
  if (generate) {
    console.log((await server.issuer.keys.generate(generate)).kid)
  } else {
    const scopesOrTransform = (_, payload) => Object.assign(payload, claims)
    console.log(await server.issuer.buildToken({ kid, scopesOrTransform }))
  }
}
await server.stop()
