// Encrypts or decrypts one message with the AWS Encryption SDK for JavaScript.
//
//     node esdk.mjs encrypt KEY-ARN < plaintext > message
//     node esdk.mjs decrypt KEY-ARN < message > plaintext
//
// The endpoint and the credentials are in the environment, as for any AWS client.
import { buildClient, CommitmentPolicy, KmsKeyringNode, getClient, KMS } from '@aws-crypto/client-node'
import { readFileSync } from 'node:fs'

const [verb, key] = process.argv.slice(2)
const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
const clientProvider = getClient(KMS, { endpoint: process.env.AWS_ENDPOINT_URL_KMS })
const input = readFileSync(0)
const context = { purpose: 'interoperability', language: 'Z\u00fcrich \u{1F511}' }

if (verb === 'encrypt') {
  const keyring = new KmsKeyringNode({ generatorKeyId: key, clientProvider })
  const { result } = await encrypt(keyring, input, { encryptionContext: context })
  process.stdout.write(result)
} else {
  const keyring = new KmsKeyringNode({ keyIds: [key], clientProvider })
  const { plaintext, messageHeader } = await decrypt(keyring, input)
  for (const [name, value] of Object.entries(context)) {
    if (messageHeader.encryptionContext[name] !== value) throw new Error(`context ${name} is missing`)
  }
  process.stdout.write(plaintext)
}
