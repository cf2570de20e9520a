// A real OpenID provider on a loopback port, for tests: `node server.mjs FOLDER PORT [REDIRECT_URI…]`, where FOLDER holds
// node_modules. With redirect URIs people sign in too, for the client `ztproxy`, on the provider's own development pages.
// It prints {"url": …} once it listens. Each line on its standard input is a command: `rotate` replaces the signing
// keys, `rotate keep` signs with new ones and still publishes the old ones; it prints {"kid": …} when that is done.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [folder, port, ...redirects] = process.argv.slice(2);
const library = join(resolve(folder), 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { default: Provider } = await import(pathToFileURL(library));

// A client acts for itself: its name is the `sub` of its tokens.
const claims = {
  ana: { groups: ['engineering'], email: 'ana@example.org', email_verified: true },
  ben: { groups: ['sales'], email: 'ben@example.org', email_verified: false },
};

function signingKeys() {
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  return [
    { ...curve.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' },
    { ...rsa.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' },
  ];
}

function provider(issuer, keys) {
  const made = new Provider(issuer, {
    jwks: { keys },
    cookies: { keys: [randomUUID()] },
    clients: Object.keys(claims).map((name) => ({
      client_id: name,
      client_secret: `${name}-secret`,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })).concat(redirects.length === 0 ? [] : [{
      client_id: 'ztproxy',
      client_secret: 'ztproxy-secret',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: redirects,
      post_logout_redirect_uris: redirects.map((uri) => new URL('/.ztproxy/signed-out', uri).href),
    }]),
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: id, ...claims[id] }) }),
    features: {
      devInteractions: { enabled: redirects.length > 0 },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // `https://ztproxy.example.org/ES256` asks for a token of that algorithm.
        getResourceServerInfo: (_ctx, resource) => ({
          audience: 'ztproxy',
          scope: 'read write',
          accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: resource.split('/').at(-1) } },
        }),
      },
    },
    extraTokenClaims: (_ctx, token) => claims[token.clientId],
  });
  made.on('server_error', (_ctx, error) => console.error(error));
  return made.callback();
}

let keys = signingKeys();
let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(Number(port), '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  answer = provider(url, keys);
  console.log(JSON.stringify({ url }));
  createInterface({ input: process.stdin })
    .on('line', (command) => {
      const fresh = signingKeys();
      keys = command === 'rotate keep' ? [...fresh, ...keys] : fresh;
      answer = provider(url, keys);
      console.log(JSON.stringify({ kid: fresh[0].kid }));
    })
    .on('close', () => process.exit(0));
});
