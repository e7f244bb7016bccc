// A request as a command or a program that sends exactly that. The key stays out of it: it is read from the environment as KEY.

/** @typedef {import('./request.js').Request} Request */
/** @typedef {{ request: Request, url: string, keyed: boolean, output: string }} Snippet keyed: the server wants a key */

/** @param {string} text for a POSIX shell */
const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {File} file as curl's -F takes a name that has its separators in it */
const curlFile = ({ name }) => (/[,;"\\]/.test(name) ? `@"${name.replace(/["\\]/g, '\\$&')}"` : `@${name}`);

/** @type {Record<string, (snippet: Snippet) => string>} */
export const snippets = {
  curl({ request: { fields, image, mask }, url, keyed, output }) {
    const parts = [
      'curl --fail-with-body',
      ...(keyed ? ['-H "Authorization: Bearer $KEY"'] : []),
      `-F ${shell(`image=${curlFile(image)}`)}`,
      ...(mask ? [`-F ${shell(`mask=${curlFile(mask)}`)}`] : []),
      // Unlike -F it takes no value for a file.
      ...Object.entries(fields).map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`),
      `-o ${shell(output)}`,
      shell(url),
    ];
    return parts.join(' \\\n  ');
  },

  javascript({ request: { fields, image, mask }, url, keyed, output }) {
    const text = JSON.stringify;
    const files = Object.entries({ image, ...(mask && { mask }) });
    return [
      "import { readFile, writeFile } from 'node:fs/promises';",
      '',
      'const form = new FormData();',
      ...files.map(
        ([name, file]) =>
          `form.append(${text(name)}, new Blob([await readFile(${text(file.name)})]), ${text(file.name)});`,
      ),
      ...Object.entries(fields).map(([name, value]) => `form.append(${text(name)}, ${text(String(value))});`),
      `const answer = await fetch(${text(url)}, {`,
      "  method: 'POST',",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a template of the program that is written here
      ...(keyed ? ['  headers: { Authorization: `Bearer ${process.env.KEY}` }, // $KEY'] : []),
      '  body: form,',
      '});',
      'if (!answer.ok) throw new Error(await answer.text());',
      `await writeFile(${text(output)}, Buffer.from(await answer.arrayBuffer()));`,
      '',
    ].join('\n');
  },

  python({ request: { fields, image, mask }, url, keyed, output }) {
    /** @param {unknown} value JSON's words are Python's, but for two */
    const text = (value) => (typeof value === 'boolean' ? (value ? 'True' : 'False') : JSON.stringify(value));
    /** @param {File} file */
    const read = ({ name }) => `base64.b64encode(open(${text(name)}, "rb").read()).decode()`;
    return [
      `import base64, json,${keyed ? ' os,' : ''} urllib.request`,
      '',
      'body = {',
      `    "image": ${read(image)},`,
      ...(mask ? [`    "mask": ${read(mask)},`] : []),
      ...Object.entries(fields).map(([name, value]) => `    ${text(name)}: ${text(value)},`),
      '}',
      `headers = {"Content-Type": "application/json", "Accept": "image/*"}`,
      ...(keyed ? ['headers["Authorization"] = "Bearer " + os.environ["KEY"]  # $KEY'] : []),
      `request = urllib.request.Request(${text(url)}, json.dumps(body).encode(), headers)`,
      `with urllib.request.urlopen(request) as answer, open(${text(output)}, "wb") as file:`,
      '    file.write(answer.read())',
      '',
    ].join('\n');
  },
};
