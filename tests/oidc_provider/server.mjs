// A real OpenID provider on a loopback port, for tests: `node server.mjs FOLDER PORT SETTINGS`. FOLDER holds node_modules,
// SETTINGS are JSON: `redirect_uris`, and `client`, further metadata of the client `ztproxy`. With redirect URIs people
// sign in for that client, on the provider's own development pages; it gets refresh tokens, good once each.
// It prints {"url": …} once it listens. Each line on its standard input is a command of `commands` below and its
// argument; what a command returns is printed as a line of JSON when it is done.

import { createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import dns from 'node:dns';
import { createServer } from 'node:http';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [folder, port, settings] = process.argv.slice(2);
const { redirect_uris: redirects, client } = JSON.parse(settings);
const library = (...path) => import(pathToFileURL(join(resolve(folder), 'node_modules', 'oidc-provider', 'lib', ...path)));
const { default: Provider } = await library('index.js');
const { createMemoryAdapter } = await library('adapters', 'memory_adapter.js');
const say = (said) => console.log(JSON.stringify(said));

// Its clock is ahead of everybody's by so many milliseconds.
let ahead = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + ahead);
    else super(...parts);
  }

  static now() {
    return RealDate.now() + ahead;
  }
};

// The hosts that it calls back are this machine.
const lookUp = dns.lookup;
dns.lookup = (host, options, done) => lookUp(host.endsWith('.example.org') ? '127.0.0.1' : host, options, done);

// A client acts for itself: its name is the `sub` of its tokens.
const claims = {
  ana: { groups: ['engineering'], email: 'ana@example.org', email_verified: true },
  ben: { groups: ['sales'], email: 'ben@example.org', email_verified: false },
};
const cookieKeys = [randomUUID()];
const adapter = createMemoryAdapter();
const issued = [];
const fault = { path: null, end: () => {} };

// As PEM in between: with Node.js 20 a key that what made it still holds may wait for its own lock, when garbage is
// collected amid its export.
function newKey(kind, options) {
  const { privateKey } = generateKeyPairSync(kind, {
    ...options,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return createPrivateKey(privateKey).export({ format: 'jwk' });
}

function signingKeys() {
  return [
    { ...newKey('ec', { namedCurve: 'P-256' }), kid: randomUUID(), use: 'sig', alg: 'ES256' },
    { ...newKey('rsa', { modulusLength: 2048 }), kid: randomUUID(), use: 'sig', alg: 'RS256' },
  ];
}

function clients() {
  const themselves = Object.keys(claims).map((name) => ({
    client_id: name,
    client_secret: `${name}-secret`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }));
  return redirects.length === 0 ? themselves : [...themselves, {
    client_id: 'ztproxy',
    client_secret: client.jwks ? undefined : 'ztproxy-secret',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: redirects,
    post_logout_redirect_uris: redirects.map((uri) => new URL('/.ztproxy/signed-out', uri).href),
    ...client,
  }];
}

function provider(issuer, keys) {
  const made = new Provider(issuer, {
    adapter,
    jwks: { keys },
    cookies: { keys: cookieKeys },
    clients: clients(),
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: id, ...claims[id] }) }),
    issueRefreshToken: (_ctx, { grantTypes }) => grantTypes.includes('refresh_token'),
    rotateRefreshToken: true,
    fetch: (url, options) => {
      if (options.body) issued.push(Object.fromEntries(options.body));
      // Without the library's dispatcher, which lets nobody on this machine be called.
      return fetch(url, { ...options, dispatcher: undefined });
    },
    features: {
      backchannelLogout: { enabled: true },
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
  made.on('backchannel.error', (_ctx, error) => console.error(error));
  made.use(meddle);
  return made.callback();
}

// Keep what the token endpoint gave, and do to one endpoint what a test wants done.
async function meddle(ctx, next) {
  const struck = ctx.path === fault.path;
  if (struck && fault.kind === 'break') ctx.status = 503;
  else await next();
  if (ctx.path === '/token' && ctx.body?.access_token) issued.push(ctx.body);
  if (struck) {
    say({ struck: fault.path });
    await fault.over;
  }
}

let keys = signingKeys();
let answer;
let url;

const commands = {
  // Sign with new keys; the old ones are withdrawn unless they are kept.
  rotate(keep) {
    const fresh = signingKeys();
    keys = keep ? [...fresh, ...keys] : fresh;
    answer = provider(url, keys);
    return { kid: fresh[0].kid };
  },
  // The answers of a path are held from now on, when all that they say has been done.
  hold(path) {
    fault.over = new Promise((release) => { fault.end = release; });
    return Object.assign(fault, { path, kind: 'hold' });
  },
  // A path is answered with 503 from now on.
  break: (path) => Object.assign(fault, { path, kind: 'break', over: null, end: () => {} }),
  // Answer again, what is held first.
  mend() {
    fault.end();
    return Object.assign(fault, { path: null });
  },
  clock(seconds) {
    ahead = Number(seconds) * 1000;
    return { ahead };
  },
  // From now on somebody is in one group, and no other one.
  group(words) {
    const [name, group] = words.split(' ');
    claims[name].groups = [group];
    return { group };
  },
  // Return what the token endpoint has given so far, and what relying parties were sent.
  issued: () => ({ issued }),
};

const server = createServer((request, response) => answer(request, response));
server.listen(Number(port), '127.0.0.1', () => {
  url = `http://127.0.0.1:${server.address().port}`;
  answer = provider(url, keys);
  say({ url });
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const [command, ...rest] = line.split(' ');
      say({ [command]: commands[command](rest.join(' ')) });
    })
    .on('close', () => process.exit(0));
});
