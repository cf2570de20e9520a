// Asks the snippet of the page about each case on standard input, and says who it is, or nobody.
import { readFileSync } from 'node:fs'
import { caller } from './caller.mjs'

const answers = []
for (const fields of JSON.parse(readFileSync(0, 'utf8'))) {
  const headers = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]))
  answers.push(await caller({ headers }).then(
    (who) => [who.idp, who.sub, who.email ?? '', who.groups],
    () => null,
  ))
}
console.log(JSON.stringify(answers))
