/* SPDX-License-Identifier: PostgreSQL */
/*
 * Keeps the page up to date from /json, once a second, and draws the plots. Text goes into the page
 * as text only (textContent), styles by class. The tables are those that the server wrote.
 */
'use strict';

const SVG = 'http://www.w3.org/2000/svg';
const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
const GAP_MS = 5000; /* without a sample nothing is drawn */
const ROWS_MAX = 200;
const EVENTS_MAX = 40;
const WINDOWS_S = [120, 300, 600, 900];

const tree = document.body.dataset.tree;
const byId = (id) => document.getElementById(id);

let samples = []; /* {at_ms, budget, held, ...}, the oldest first */
let nowMs = 0; /* of the server's clock, at the last answer */
let answeredAt = 0;
let paused = false;
let cursorMs = null; /* the time that is pointed at in the plots */

/* ---- words ---------------------------------------------------------------------------------- */

function age(ms) {
	const s = Math.floor(ms / 1000), min = Math.floor(s / 60), h = Math.floor(min / 60);
	const two = (number) => String(number).padStart(2, '0');

	if (s === 0) return `${ms}ms`;
	if (min === 0) return `${s}.${Math.floor(ms % 1000 / 100)}s`;
	if (h === 0) return `${min}m${two(s % 60)}s`;
	if (h < 24) return `${h}h${two(min % 60)}m`;
	return `${Math.floor(h / 24)}d${two(h % 24)}h`;
}

const worker = (number, pid) => number ? `w${number}` : pid === null ? 'gone' : '-';

function setText(id, text) {
	const element = byId(id);

	if (element && element.textContent !== String(text)) element.textContent = text;
}

/* ---- tables --------------------------------------------------------------------------------- */

/* A cell is [text, class], or {bar: share, of: class}. Nodes are kept, so that what is selected or
 * read aloud stays. */
function setBar(cell, bar) {
	let svg = cell.firstElementChild;

	if (!svg) {
		svg = document.createElementNS(SVG, 'svg');
		svg.setAttribute('width', '100%');
		svg.setAttribute('height', '10');
		svg.setAttribute('aria-hidden', 'true');
		svg.append(document.createElementNS(SVG, 'rect'));
		svg.firstChild.setAttribute('height', '10');
		svg.firstChild.setAttribute('rx', '2');
		cell.append(svg);
	}
	svg.setAttribute('class', bar.of);
	svg.firstChild.setAttribute('width', `${(100 * bar.bar).toFixed(1)}%`);
	cell.className = 'bar';
}

function setCell(cell, value) {
	if (value.of) {
		setBar(cell, value);
		return;
	}
	const [text, name] = value;

	if (cell.textContent !== String(text)) cell.textContent = text;
	if (cell.className !== (name || '')) cell.className = name || '';
}

/* rows: [class of the row, cells] */
function setTable(id, rows) {
	const body = byId(id).tBodies[0];

	while (body.rows.length > rows.length) body.deleteRow(-1);
	rows.forEach(([name, cells], i) => {
		const row = body.rows[i] || body.insertRow();

		while (row.cells.length < cells.length) row.insertCell();
		if (row.className !== name) row.className = name;
		cells.forEach((cell, n) => setCell(row.cells[n], cell));
	});
}

const number = (value) => [value, 'n'];
const less = (value) => [value, 'n minor'];

function processRow(p) {
	return [p.life === 'dead' ? 'alarm' : '', [
		[worker(p.worker)], number(p.pid), [p.life], [p.command], [p.application || '', 'minor'],
		number(p.held), number(p.busy), number(p.idle), number(p.waiting), less(p.opened),
		less(p.failed), less(p.closed.dead + p.closed.lost), less(p.timeouts),
		number(age(p.age_ms))]];
}

function connectionRow(c) {
	return [c.transaction === 'failed' ? 'alarm' : '', [
		[worker(c.worker, c.pid)], number(c.pid === null ? '-' : c.pid), [c.state, c.state],
		number(age(c.since_ms)), [c.transaction], [c.label || ''], number(age(c.age_ms)),
		less(c.uses), less(c.backend_pid || 0), less(c.permit)]];
}

const STATES = ['unknown', 'connecting', 'idle', 'busy', 'closing'];

function longestBusyFirst(one, other) {
	const rank = (c) => c.state === 'busy' ? -1 : STATES.indexOf(c.state);

	return rank(one) - rank(other) || other.since_ms - one.since_ms || one.permit - other.permit;
}

function waiterRow(w, i) {
	return ['', [number(i + 1), [worker(w.worker, w.pid)], number(w.pid === null ? '-' : w.pid),
		number(age(w.since_ms)), [w.called ? 'yes' : 'no']]];
}

function eventRow(e) {
	return ['', [number(age(e.age_ms)), [worker(e.worker)], number(e.pid), [e.event, e.event],
		[e.detail || '']]];
}

function setWaits(waits) {
	const most = Math.max(...waits.buckets.map((b) => b.count));

	setTable('waits', waits.buckets.map((b) => ['', [
		number(b.below_us < 1000 ? `${b.below_us}us` : age(Math.floor(b.below_us / 1000))),
		number(b.count), {bar: b.count / most, of: 'wait'}]]));
}

function setClosed(closed) {
	const rows = Object.entries(closed).filter(([, count]) => count);
	const most = Math.max(...rows.map(([, count]) => count));
	const kind = (cause) => cause === 'dead' || cause === 'lost' ? 'death' : 'end';

	setTable('closed', rows.map(([cause, count]) => ['', [
		[cause], number(count), {bar: count / most, of: kind(cause)}]]));
}

/* ---- what there is now ---------------------------------------------------------------------- */

function element(name, text, className) {
	const made = document.createElement(name);

	if (text !== undefined) made.textContent = text;
	if (className) made.className = className;
	return made;
}

function outageText(target) {
	const o = target.outage;

	return ` of target ${target.target} for ${age(o.age_ms)}, ${o.failures} failures, next try in ` +
		`${age(o.next_in_ms)}: ${o.sqlstate ? `SQLSTATE ${o.sqlstate}: ` : ''}${o.text}`;
}

/* An alert is read aloud when it is new, not each second. */
function setOutages(targets) {
	const box = byId('outages'), down = targets.filter((target) => target.outage);

	while (box.children.length > down.length) box.lastElementChild.remove();
	down.forEach((target, i) => {
		let line = box.children[i];

		if (!line) {
			line = element('p', undefined, 'outage');
			line.append(element('strong', 'Outage'), element('span'));
			box.append(line);
		} else if (line.children.length < 2) {
			line.replaceChildren(element('strong', 'Outage'), element('span'));
		}
		line.lastChild.textContent = outageText(target);
	});
}

function setNow(now) {
	const count = (state) => now.connections.filter((c) => c.state === state).length;
	const living = now.living;

	setText('now-budget', now.permits.budget ?? 'none');
	setText('now-held', now.permits.held);
	setText('now-busy', count('busy'));
	setText('now-idle', count('idle'));
	setText('now-waiting', now.permits.waiting);
	setText('now-ending', now.permits.ending);
	setText('now-connects', now.connects.under_way);
	setText('now-share', now.permits.fair_share ?? 'none');
	byId('now-waiting').className = now.permits.waiting ? 'waiting' : '';
	setText('living', `${living} process${living === 1 ? '' : 'es'}`);
	setText('age', age(now.age_ms));
}

/* ---- findings ------------------------------------------------------------------------------- */

let shownFindings = null;

function findingsText(f) {
	if (f.state === 'done')
		return `examined ${age(f.age_ms)} ago: ${f.items.length ? '' : 'nothing found; '}${f.summary}`;
	if (f.state === 'failed') return `could not be examined: ${f.why}`;
	if (f.state === 'running') return `process ${f.pid} is being examined`;
	if (f.pid) return `not examined here; this does: tine doctor --pid ${f.pid}`;
	return 'no process is left, or none of this pid namespace';
}

function labelled(label, text) {
	const line = element('p');

	line.append(element('b', label), ` ${text}`);
	return line;
}

function findingItem(finding) {
	const grade = ['hazard', 'warning', 'note'].includes(finding.grade) ? finding.grade : 'ok';
	const item = element('li', undefined, grade), box = element('details');
	const head = element('summary');

	head.append(element('b', grade, 'grade'), ` ${finding.code}: ${finding.where}`);
	box.open = grade === 'hazard';
	box.append(head, labelled('Seen', finding.seen));
	if (finding.details.length) box.append(element('pre', finding.details.join('\n')));
	box.append(labelled('Why', finding.why), labelled('Change', finding.change));
	if (finding.lines.length) box.append(element('pre', finding.lines.join('\n')));
	item.append(box);
	return item;
}

function setFindings(findings) {
	const items = findings.items || [], text = JSON.stringify(items);

	setText('findings-state', findingsText(findings));
	if (text === shownFindings) return;
	shownFindings = text;
	byId('findings').replaceChildren(...items.slice(0, 50).map(findingItem));
}

/* ---- plots ---------------------------------------------------------------------------------- */

const PLOTS = [
	{
		id: 'use', title: 'Connections', wide: true,
		layers: [['busy', (s) => s.busy], ['idle', (s) => s.idle],
			['other', (s) => Math.max(0, s.held - s.busy - s.idle)]],
		limit: (s) => s.budget,
		says: (s) => `${s.held} held: ${s.busy} busy, ${s.idle} idle; budget ${s.budget ?? 'none'}`,
	},
	{
		id: 'waiting', title: 'Waiting', lines: [['waiting', (s) => s.waiting]],
		says: (s) => `${s.waiting} in the queue`,
	},
	{
		id: 'rates', title: 'Per second',
		lines: [['opened', (s) => s.opened], ['waits', (s) => s.waits],
			['failed', (s) => s.failed], ['timeouts', (s) => s.timeouts]],
		says: (s) => s.opened === null ? 'not known yet'
			: `${rate(s.opened)} connects, ${rate(s.waits)} waits, ${rate(s.failed)} failed, ` +
				`${rate(s.timeouts)} timeouts`,
	},
];

const rate = (value) => value === null ? '?' : value < 10 ? value.toFixed(1) : value.toFixed(0);

function svg(name, attributes, parent) {
	const made = document.createElementNS(SVG, name);

	for (const key in attributes) made.setAttribute(key, attributes[key]);
	if (parent) parent.append(made);
	return made;
}

function niceMost(value) {
	const power = 10 ** Math.floor(Math.log10(value));
	const steps = power < 10 ? [2, 4, 6, 8, 10] : [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10];

	/* Half of it is whole, too. */
	return Math.round(steps.find((s) => s * power >= value) * power);
}

function windowMs() {
	const span = samples.length ? (nowMs - samples[0].at_ms) / 1000 : 0;

	return 1000 * (WINDOWS_S.find((s) => s >= span) || WINDOWS_S[WINDOWS_S.length - 1]);
}

/* Steps, since a count holds until the next sample; broken where nobody looked. */
function stepPath(x, y, points) {
	let path = '';

	points.forEach(([at, value], i) => {
		const fresh = i === 0 || at - points[i - 1][0] > GAP_MS;

		path += fresh ? `M${x(at)},${y(value)}` : `H${x(at)}V${y(value)}`;
	});
	return path;
}

function areaPath(x, y, points) {
	let path = '', start = 0;

	for (let i = 1; i <= points.length; i++) {
		if (i < points.length && points[i][0] - points[i - 1][0] <= GAP_MS) continue;
		const run = points.slice(start, i), back = run.map(([at, , low]) => [at, low]).reverse();

		path += stepPath(x, y, run);
		back.forEach(([at, low], n) => {
			path += n === 0 ? `V${y(low)}` : `V${y(low)}H${x(at)}`;
		});
		path += 'Z';
		start = i;
	}
	return path;
}

function drawAxes(chart, most) {
	for (const part of [0, 0.5, 1]) {
		const at = chart.y(most * part);

		svg('line', {x1: chart.left, x2: chart.right, y1: at, y2: at, class: 'grid'}, chart.svg);
		svg('text', {x: chart.left - 6, y: at + 4, class: 'tick end'}, chart.svg).textContent =
			most * part;
	}
	for (const part of [0, 0.5, 1]) {
		const ago = windowMs() * (1 - part) / 60000;
		const kind = part === 0 ? 'start' : part === 1 ? 'end' : 'middle';

		svg('text', {x: chart.left + part * (chart.right - chart.left), y: chart.height - 4,
			class: `tick ${kind}`}, chart.svg).textContent = ago ? `${ago} min ago` : 'now';
	}
}

function drawLayers(plot, chart, shown) {
	let below = shown.map(() => 0);

	for (const [name, value] of plot.layers || []) {
		const top = shown.map((s, i) => below[i] + value(s));

		svg('path', {class: `area ${name}`, d: areaPath(chart.x, chart.y,
			shown.map((s, i) => [s.at_ms, top[i], below[i]]))}, chart.svg);
		below = top;
	}
	for (const [name, value] of plot.lines || [])
		svg('path', {class: `line ${name}`, d: stepPath(chart.x, chart.y, shown
			.filter((s) => value(s) !== null).map((s) => [s.at_ms, value(s)]))}, chart.svg);
	if (plot.limit)
		svg('path', {class: 'line budget', d: stepPath(chart.x, chart.y, shown
			.filter((s) => plot.limit(s) !== null).map((s) => [s.at_ms, plot.limit(s)]))},
		chart.svg);
}

function mostOf(plot, shown) {
	const values = shown.flatMap((s) => [...(plot.lines || []).map(([, value]) => value(s) || 0),
		plot.limit ? Math.max(s.held, plot.limit(s) || 0) : 0]);

	return niceMost(Math.max(1, ...values));
}

function nearest(atMs) {
	return samples.reduce((best, s) =>
		!best || Math.abs(s.at_ms - atMs) < Math.abs(best.at_ms - atMs) ? s : best, null);
}

function clock(atMs) {
	return new Date(answeredAt - (nowMs - atMs)).toLocaleTimeString([], {hour12: false});
}

function say(plot, chart) {
	const sample = cursorMs === null ? samples[samples.length - 1] : nearest(cursorMs);
	const text = sample ? plot.says(sample) : 'nothing yet';

	if (sample && cursorMs !== null) {
		const at = chart.x(sample.at_ms);

		svg('line', {x1: at, x2: at, y1: chart.top, y2: chart.bottom, class: 'cursor'}, chart.svg);
	}
	setText(`${plot.id}-says`, cursorMs === null || !sample ? text
		: `${clock(sample.at_ms)}: ${text}`);
	chart.svg.setAttribute('aria-label', `${plot.title}: ${text}`);
}

function draw(plot) {
	const box = byId(`${plot.id}-plot`), width = box.clientWidth - 1, height = plot.wide ? 200 : 140;
	const from = nowMs - windowMs(), shown = samples.filter((s) => s.at_ms >= from);
	const chart = {left: 42, right: width - 14, top: 8, bottom: height - 22, height};
	const most = mostOf(plot, shown);

	if (width < 80) return;
	chart.x = (at) => (chart.left + (at - from) / windowMs() * (chart.right - chart.left)).toFixed(1);
	chart.y = (value) =>
		(chart.bottom - value / most * (chart.bottom - chart.top)).toFixed(1) * 1;
	chart.svg = svg('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img'});
	drawAxes(chart, most);
	drawLayers(plot, chart, shown);
	say(plot, chart);
	box.replaceChildren(chart.svg);
	box.at = (x) => from + (x - chart.left) / (chart.right - chart.left) * windowMs();
}

const drawAll = () => PLOTS.forEach(draw);

function point(atMs) {
	cursorMs = atMs;
	drawAll();
}

/* With arrow keys as with a pointer. */
function onKey(event) {
	const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
	const last = samples[samples.length - 1];

	if (event.key === 'Escape') point(null);
	if (!step || !last) return;
	event.preventDefault();
	const at = samples.indexOf(cursorMs === null ? last : nearest(cursorMs)) + step;

	point(at >= samples.length ? null : samples[Math.max(0, at)].at_ms);
}

function addPlot(plot) {
	const figure = element('figure', undefined, plot.wide ? 'wide' : '');
	const caption = element('figcaption'), legend = element('span', undefined, 'legend');
	const box = element('div', undefined, 'plot'), says = element('span', '', 'says');

	box.id = `${plot.id}-plot`;
	box.tabIndex = 0;
	box.setAttribute('role', 'group');
	box.setAttribute('aria-label', `${plot.title}, past minutes; arrow keys move through them`);
	says.id = `${plot.id}-says`;
	for (const [name] of [...(plot.layers || []), ...(plot.lines || [])])
		legend.append(element('span', name === 'opened' ? 'connects' : name, `key ${name}`));
	if (plot.limit) legend.append(element('span', 'budget', 'key budget'));
	caption.append(element('b', plot.title), says, legend);
	figure.append(caption, box);
	box.addEventListener('pointermove', (event) =>
		point(box.at ? box.at(event.clientX - box.getBoundingClientRect().left) : null));
	box.addEventListener('pointerleave', () => point(null));
	box.addEventListener('keydown', onKey);
	byId('plots').append(figure);
}

/* ---- the loop ------------------------------------------------------------------------------- */

function takeHistory(history) {
	for (const row of history.rows)
		samples.push(Object.fromEntries(history.columns.map((name, i) => [name, row[i]])));
	nowMs = history.now_ms;
	answeredAt = Date.now();
	samples = samples.filter((s) => s.at_ms > nowMs - history.keep_s * 1000);
}

function show(now) {
	const seats = now.connections.sort(longestBusyFirst);

	takeHistory(now.history);
	setNow(now);
	setOutages(now.targets);
	setTable('processes', now.processes.map(processRow));
	setTable('connections', seats.slice(0, ROWS_MAX).map(connectionRow));
	setText('connections-note', seats.length > ROWS_MAX ? 'the first 200, longest busy first'
		: 'longest busy first');
	setTable('queue', now.waiters.slice(0, ROWS_MAX).map(waiterRow));
	setWaits(now.waits);
	setClosed(now.closed);
	setTable('events', now.events.slice(0, EVENTS_MAX).map(eventRow));
	setFindings(now.findings);
	drawAll();
}

function setLive(state, text) {
	byId('live').className = state;
	setText('live', text);
}

async function poll() {
	const since = samples.length ? samples[samples.length - 1].at_ms : 0;
	const response = await fetch(`json?tree=${encodeURIComponent(tree)}&history=${since}`,
		{cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS)});

	if (response.status === 404) {
		setLive('lost', 'this tree has ended');
		return;
	}
	if (!response.ok) throw new Error(`status ${response.status}`);
	show((await response.json()).trees[0]);
	setLive('on', 'live');
}

async function loop() {
	for (;;) {
		const next = Date.now() + PERIOD_MS;

		if (!paused && !document.hidden) {
			try {
				await poll();
			} catch (error) {
				setLive('lost', 'no answer; what is shown is old');
			}
		}
		await new Promise((done) => setTimeout(done, Math.max(200, next - Date.now())));
	}
}

function togglePause() {
	paused = !paused;
	byId('pause').textContent = paused ? 'Resume' : 'Pause';
	if (paused) setLive('paused', 'paused');
}

if (tree) {
	byId('pause').hidden = false;
	byId('pause').addEventListener('click', togglePause);
	PLOTS.forEach(addPlot);
	new ResizeObserver(drawAll).observe(byId('plots'));
	loop();
}
