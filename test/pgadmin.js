'use strict';

/*
 * What a user who knows only pgAdmin sees of the extension.
 *
 *	node pgadmin.js		(started by pgadmin.sh, which says what it needs)
 *
 * Logs in to a running pgAdmin with a headless Chromium, walks its tree and
 * uses its query tool.  What is compared is text on the page.  Prints a TAP
 * line for each comparison and ends with 1 if one of them failed.
 *
 * From the environment:
 *	PGADMIN_URL, PGADMIN_EMAIL, PGADMIN_PASSWORD
 *	PGADMIN_DATABASE	where the extension is
 *	PGADMIN_EXPECTED	file with what the server says of its objects (JSON)
 *	PGADMIN_PICTURES	directory for pictures: one of the views, and one of
 *						the page when something went wrong
 *	CHROMIUM			the browser
 */

const fs = require('fs');
const { chromium } = require('playwright-core');

const env = process.env;
const expected = JSON.parse(fs.readFileSync(env.PGADMIN_EXPECTED, 'utf8'));
const schema = 'stream_ingest';

// enough for a busy machine; everything that waits, waits for a condition
const limit = 60000;

// so large that the whole tree, or a whole row, is on the page at once
const tall = { width: 1360, height: 2400 };
const wide = { width: 3000, height: 1500 };

let page;
let done = 0;
let failed = 0;

// ---- the test's own words

function ok(good, name, found)
{
	done++;
	if (!good)
		failed++;
	console.log(`${good ? 'ok' : 'not ok'} ${done} - ${name}`);
	if (!good && found !== undefined)
		console.log(`# found: ${String(found).replace(/\s+/g, ' ').slice(0, 2000)}`);
}

// Calls "get" until "good" likes what it returns, which is then returned; after
// the limit whatever was there last.
async function until(get, good, wait = limit)
{
	const deadline = Date.now() + wait;

	for (;;)
	{
		const found = await get();

		if (good(found) || Date.now() > deadline)
			return found;
		await page.waitForTimeout(100);
	}
}

// Text as one reads it: white space does not matter.
function plain(text)
{
	return text.replace(/[\s\u200b\u00a0]+/g, ' ').trim();
}

// The text that "get" returns has all of these in it, sooner or later.
async function shows(name, get, ...wanted)
{
	const lacks = found => wanted.filter(text => !found.includes(plain(text)));
	const found = await until(async () => plain(await get()), text => lacks(text).length === 0);

	ok(lacks(found).length === 0, name, `${found}\n lacks: ${lacks(found).join(' | ')}`);
}

// ---- pgAdmin's page

// What the panel of a tab shows; the tree and the pane around are panels too.
async function panel(name)
{
	await page.locator('.dock-tab', { hasText: new RegExp(`^${name}$`) }).first().click();
	return page.locator('.dock-tabpane-active:visible').last().innerText();
}

async function log_in(password)
{
	await page.fill('input[name=email]', env.PGADMIN_EMAIL);
	await page.fill('input[name=password]', password);
	await page.locator('button', { hasText: 'Login' }).click();
}

// The entries of the tree.
function entries()
{
	return page.locator('.file-entry').evaluateAll(all => all.map(entry => ({
		name: entry.querySelector('.file-name').textContent.trim(),
		depth: Number(entry.dataset.depth),
	})));
}

// The place among the entries of the one that a path leads to, or -1.
async function find(path)
{
	const all = await entries();
	let place = -1;

	for (const [i, name] of path.entries())
	{
		place = all.findIndex((entry, j) => j > place && entry.depth === i + 1 && entry.name === name);
		if (place < 0)
			return -1;
	}
	return place;
}

// Waits until the tree has not changed for a moment: it opens an only child by
// itself, and a click at that moment would close it again.
async function settle()
{
	let before;

	await until(async () =>
	{
		const last = before;

		before = JSON.stringify(await entries());
		if (last !== before)
			await page.waitForTimeout(400);
		return last === before;
	}, same => same);
}

async function select(path)
{
	await settle();
	const place = await until(() => find(path), found => found >= 0);

	if (place < 0)
		throw new Error(`not in the tree: ${path.join(' > ')}`);
	const entry = page.locator('.file-entry').nth(place);

	const active = page.locator('.file-entry.active .file-name');
	const name = path[path.length - 1];

	// the tree takes its time, lest it was the first half of a double click
	await entry.locator('.file-name').click();
	await until(() => active.allInnerTexts(), names => names.length === 1 && names[0].trim() === name, limit / 6);
	return entry;
}

// The names of the entries directly below one.
async function below(path)
{
	const place = await find(path);
	const rest = (await entries()).slice(place + 1);
	const end = rest.findIndex(entry => entry.depth <= path.length);

	return rest.slice(0, end < 0 ? undefined : end)
		.filter(entry => entry.depth === path.length + 1).map(entry => entry.name);
}

async function toggle(path)
{
	await (await select(path)).locator('.directory-toggle').click();
}

// Opens an entry of the tree and all above it; returns what is below.
async function open(path)
{
	let names = [];

	for (let i = 0; i < 3 * path.length; i++)
	{
		let n = 0;

		await settle();
		do
		{
			n++;
			names = await below(path.slice(0, n));
		} while (n < path.length && names.length > 0);
		if (names.length > 0)
			break;
		await toggle(path.slice(0, n));
		await until(() => below(path.slice(0, n)), found => found.length > 0, limit / 6);
	}
	return names;
}

// Clicks on a button above the tree, which opens a query tool or the rows of
// the selected relation; returns a function that finds its frame.  When
// another tab is opened, frames may be created again, but keep their addresses.
async function open_tool(button)
{
	const tools = () => page.frames().map(f => f.url()).filter(url => url.includes('/sqleditor/panel/'));
	const before = tools();
	const fresh = () => tools().find(url => !before.includes(url));

	await page.locator(`button[data-label="${button}"]:enabled`).first().click();
	const address = await until(fresh, url => url !== undefined);

	if (!address)
		throw new Error(`nothing came of the button ${button}`);
	return () => page.frames().find(f => f.url() === address);
}

// What the grid of a query tool shows: the names of the columns, and the rows
// as objects.
async function grid(tool)
{
	const frame = tool();
	const columns = await frame.locator('.QueryTool-columnName').allInnerTexts();
	const rows = await frame.locator('[role=row]').evaluateAll(all => all.map(row =>
		[...row.querySelectorAll('[role=gridcell]')].slice(1).map(cell => cell.textContent.trim())));

	return {
		columns,
		rows: rows.filter(row => row.length > 0)
			.map(row => Object.fromEntries(columns.map((column, i) => [column, row[i]]))),
	};
}

// Runs a statement.
async function run(tool, sql)
{
	await tool().locator('.cm-content[contenteditable="true"]:visible').first().click();
	await page.keyboard.press('Control+A');
	// at once, so that the editor adds no brackets of its own
	await page.keyboard.insertText(sql);
	await page.keyboard.press('F5');
}

// Runs a query until its first row is as wanted; returns that row.  The first
// column's name must be another one than that of the query before.
async function query(tool, column, sql, good = () => true)
{
	let row;

	await run(tool, sql);
	return until(async () =>
	{
		if (row)
			await page.keyboard.press('F5');
		const found = await until(() => grid(tool),
			g => g.columns[0] === column && g.rows.length > 0, row ? 1000 : limit);

		row = found.columns[0] === column ? found.rows[0] : undefined;
		return row || {};
	}, found => found[column] !== undefined && good(found));
}

// ---- the walk

const database = ['Servers', 'production', 'Databases', env.PGADMIN_DATABASE];
const ours = [...database, 'Schemas', schema];
const wrapper = [...database, 'Foreign Data Wrappers', 'stream_ingest'];
const kafka = [...wrapper, 'Foreign Servers', 'kafka'];

async function enter()
{
	await page.goto(env.PGADMIN_URL);
	await log_in(`not ${env.PGADMIN_PASSWORD}`);
	await shows('a wrong password is refused', () => page.locator('body').innerText(), 'Incorrect username or password');
	await log_in(env.PGADMIN_PASSWORD);
	await page.waitForSelector('.file-entry');
	await shows('then the user is logged in', () => page.locator('body').innerText(), env.PGADMIN_EMAIL);

	// the only server of the group: pgAdmin connects to it, and asks for a password
	await toggle(['Servers']);
	const dialog = page.locator('[role=dialog]');

	await dialog.locator('input[type=password]').fill('any, since this server trusts');
	await dialog.locator('button', { hasText: 'OK' }).click();
	// connecting opens it by itself
	await until(() => below(['Servers', 'production']), names => names.includes('Databases'));
	ok((await open(database)).includes('Schemas'), 'the database is open');
}

// Two more subscriptions: one is slower than its messages come, and the broker
// of the other one is not there.
const scene = `
	CREATE SERVER kafka_berlin FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:9');
	GRANT USAGE ON FOREIGN SERVER kafka_berlin TO shop;
	SET ROLE shop;
	CREATE TABLE audit (id bigint);
	CREATE TABLE invoices (id bigint);
	SELECT stream_ingest.create_subscription('audit', 'kafka', 'shop-orders', 'audit', options => '{"rate_limit": 30}');
	SELECT stream_ingest.create_subscription('invoices', 'kafka_berlin', 'invoices', 'invoices');
	RESET ROLE;
	SELECT true AS made;`;

const end_of_scene = `
	SELECT stream_ingest.drop_subscription('audit');
	SELECT stream_ingest.drop_subscription('invoices');
	DROP TABLE audit, invoices;
	DROP SERVER kafka_berlin;
	SELECT true AS gone;`;

// The picture shows what happens: lag, and a reason.
async function take_picture()
{
	await open(kafka);
	await open([...ours, 'Views']);
	await select(database);
	const tool = await open_tool('Query Tool');

	await query(tool, 'made', scene);
	await query(tool, 'behind', "SELECT min(lag) AS behind FROM stream_ingest.offsets WHERE name = 'audit';",
		found => Number(found.behind) > 500);
	const row = await query(tool, 'subscription',
		'SELECT s.name AS subscription, state AS current_state,\n'
		+ '       partition, next_offset, lag, time_lag, reason\n'
		+ '  FROM stream_ingest.status AS s\n'
		+ '  LEFT JOIN stream_ingest.offsets AS o USING (name)\n ORDER BY reason, name, partition;',
		found => found.current_state === 'retrying' && found.reason.includes('Connection refused'));
	const { rows } = await grid(tool);
	const lag = name => Math.max(...rows.filter(r => r.subscription === name).map(r => Number(r.lag)));

	ok(row.subscription === 'invoices' && row.current_state === 'retrying' && row.reason.includes('Connection refused'),
		'the query tool shows a broker that is not there, as the reason', JSON.stringify(row));
	ok(rows.length === 7 && lag('audit') > 500 && lag('orders') < lag('audit'),
		'and the lag of each partition', JSON.stringify(rows));
	await select([...ours, 'Views', 'status']);
	await page.setViewportSize({ width: 1360, height: 800 });
	await page.mouse.move(170, 500);
	await page.mouse.wheel(0, 2000);
	// messages of success, and the mouse's tooltip, lie over the picture a while
	await page.mouse.move(700, 730);
	await until(() => page.locator('.notistack-SnackbarContainer, [role=tooltip]').allInnerTexts(),
		texts => texts.join('').trim() === '');
	await page.screenshot({ path: `${env.PGADMIN_PICTURES}/pgadmin.png`, clip: { x: 40, y: 62, width: 1320, height: 698 } });
	await page.setViewportSize(tall);
	const gone = await query(tool, 'gone', end_of_scene);
	ok(gone.gone === 'true', 'subscriptions, tables and a server can be dropped', JSON.stringify(gone));
}

async function look_at_functions()
{
	const names = await open([...ours, 'Functions']);
	const wanted = expected.functions.map(f => f.signature);

	ok(names.join('\n') === wanted.join('\n'), 'the tree has all functions, with the names of their arguments', names.join(' | '));
	await select([...ours, 'Functions']);
	await shows('functions: each with its comment', () => panel('Properties'),
		...expected.functions.map(f => `${f.signature} postgres ${f.comment}`));
	await select([...ours, 'Functions', names.find(name => name.startsWith('seek(') && name.includes('partition'))]);
	await shows('a function: names and comment in its definition', () => panel('SQL'),
		'FUNCTION stream_ingest.seek( name name, partition integer, message_offset bigint)',
		'moves one partition to an offset');
}

async function look_at_views()
{
	const names = await open([...ours, 'Views']);

	ok(names.join(' ') === expected.views.map(view => view.name).join(' '), 'the tree has all views', names.join(' '));
	await select([...ours, 'Views']);
	await shows('views: each with its comment', () => panel('Properties'),
		...expected.views.map(view => `${view.name} postgres ${view.comment}`));
	for (const view of expected.views)
	{
		const path = [...ours, 'Views', view.name];

		await open([...path, 'Columns']);
		await select([...path, 'Columns']);
		await shows(`view ${view.name}: its columns with types and comments`, () => panel('Properties'),
			...view.columns.map(column => `${column.name} ${column.type} ${column.comment}`));
		await toggle(path);
	}
}

async function look_at_kafka()
{
	await select([...database, 'Extensions']);
	await shows('the extension, with its comment', () => panel('Properties'), `stream_ingest postgres ${expected.extension}`);
	await select([...database, 'Foreign Data Wrappers']);
	await shows('the wrapper, with its comment', () => panel('Properties'), `stream_ingest postgres ${expected.wrapper}`);
	await select(kafka);
	await shows('the foreign server, with its options', () => panel('SQL'),
		'CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest',
		`OPTIONS (bootstrap_servers '${expected.bootstrap}', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');`,
		'GRANT USAGE ON FOREIGN SERVER kafka TO shop;');
	await open([...kafka, 'User Mappings']);
	await select([...kafka, 'User Mappings', 'shop']);
	await shows('the user mapping, with its options', () => panel('SQL'),
		'CREATE USER MAPPING FOR shop SERVER kafka', "OPTIONS (sasl_username 'shop', sasl_password 's3cret');");
	await select(ours);
	await shows('the schema, with its comment', () => panel('SQL'), `COMMENT ON SCHEMA stream_ingest IS '${expected.schema}'`);
}

// "View Data" of every view; returns the tool of the last one.
async function open_views()
{
	let tool;

	for (const view of [...expected.views.filter(v => v.name !== 'counts'), expected.views.find(v => v.name === 'counts')])
	{
		const wanted = view.columns.map(column => column.name).join(' ');

		await select([...ours, 'Views', view.name]);
		tool = await open_tool('All Rows');
		const found = () => grid(tool);
		const shown = await until(found, g => g.columns.join(' ') === wanted && (view.rows === 0 || g.rows.length > 0));

		ok(shown.columns.join(' ') === wanted && shown.rows.length === view.rows
			&& shown.rows.every(row => row.name === 'orders'),
		`view ${view.name}: its data`, JSON.stringify(shown));
	}
	return tool;
}

async function watch()
{
	await toggle([...ours, 'Functions']);
	await page.setViewportSize(wide);
	const counts = await open_views();
	const messages = async () => Number((await grid(counts)).rows[0]?.messages);
	const first = await until(messages, n => n > 0);
	const second = await until(async () =>
	{
		await counts().locator('.cm-content:visible').first().click();
		await page.keyboard.press('F5');
		return until(messages, n => n > first, 2000);
	}, n => n > first);

	ok(first > 0 && second > first, `the count grows in the view: ${first}, ${second}`);
}

async function steer()
{
	await select(database);
	const tool = await open_tool('Query Tool');
	const first = Number((await query(tool, 'rows', 'SELECT count(*) AS rows FROM orders;', r => r.rows > 0)).rows);
	const second = Number((await query(tool, 'rows_later', 'SELECT count(*) AS rows_later FROM orders;',
		r => r.rows_later > first)).rows_later);

	ok(first > 0 && second > first, `the count grows in the table: ${first}, ${second}`);

	await run(tool, `SELECT stream_ingest.alter_subscription('orders', options => '{"batch_sizes": 1}');`);
	await shows('a mistake is an error with a hint',
		async () => (await tool().locator('.dock-tabpane-active').allTextContents()).join(' '),
		'ERROR: unrecognized option "batch_sizes"', 'HINT: Perhaps you meant "batch_size".');

	await query(tool, 'disable', "SELECT stream_ingest.disable('orders');");
	let row = await query(tool, 'state', 'SELECT state, reason FROM stream_ingest.status;', r => r.state === 'disabled');
	ok(row.state === 'disabled' && row.reason.startsWith('the subscription is disabled'), 'it can be stopped', JSON.stringify(row));
	await query(tool, 'enable', "SELECT stream_ingest.enable('orders');");
	row = await query(tool, 'state_again', 'SELECT state AS state_again, reason FROM stream_ingest.status;',
		r => r.state_again === 'streaming');
	ok(row.state_again === 'streaming', 'and started', JSON.stringify(row));
	const third = Number((await query(tool, 'rows_at_last', 'SELECT count(*) AS rows_at_last FROM orders;',
		r => r.rows_at_last > second)).rows_at_last);
	ok(third > second, `and the count grows again: ${third}`);
}

async function main()
{
	const browser = await chromium.launch({
		executablePath: env.CHROMIUM,
		// it sees nothing but this pgAdmin; root and containers have no sandbox
		args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
	});

	try
	{
		page = await browser.newPage({ viewport: tall });
		page.setDefaultTimeout(limit);
		await enter();
		await take_picture();
		await look_at_functions();
		await look_at_views();
		await look_at_kafka();
		await watch();
		await steer();
	}
	catch (error)
	{
		ok(false, 'the walk came to its end', error.stack);
		if (page)
			await page.screenshot({ path: `${env.PGADMIN_PICTURES}/failed.png` }).catch(() => {});
	}
	finally
	{
		await browser.close();
	}
	console.log(`1..${done}`);
	process.exitCode = failed === 0 ? 0 : 1;
}

main();
