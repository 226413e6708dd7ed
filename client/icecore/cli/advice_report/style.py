"""How the page looks: one column, light or dark as the reader's screen, plain when printed."""

from typing import Final

CSS: Final = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f4f6f9; --text: #1f2937;
  --quiet: #5b6472; --line: #d8dde5; --blue: #2563a8; --orange: #c2610a; --green: #0b7f62;
  --purple: #a3478f; --amber: #d99a00; --red: #b3261e; --heat: 37, 99, 168; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --card: #1e242d; --text: #e5e9ef;
  --quiet: #a3adba; --line: #39424f; --blue: #6aa9f0; --orange: #f29a4a; --green: #3ecaa3;
  --purple: #d98bc8; --amber: #e3b341; --red: #f2827a; --heat: 106, 169, 240; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text);
  font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1.1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0 .4rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 2.8rem 0 .6rem; }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .4rem; }
p { margin: .6rem 0; }
bdi, code { overflow-wrap: anywhere; }
table bdi { overflow-wrap: break-word; }
table:not(.matrix) td:not(.number) { min-width: 7rem; }
code { font: .88em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.quiet, caption, figcaption { color: var(--quiet); font-size: .9rem; }
.lead { background: var(--card); border-left: 6px solid var(--verdict); border-radius: 8px;
  padding: .9rem 1.2rem 1rem; margin: 1.2rem 0; }
.positive { --verdict: var(--green); }
.undecided { --verdict: var(--amber); }
.no_gain, .negative { --verdict: var(--red); }
.chip { background: var(--verdict); color: var(--paper); border-radius: 1rem;
  padding: .12rem .65rem; font-size: .9rem; white-space: nowrap; }
.undecided .chip { color: #1f2937; }
.lead h2 { margin: 0 0 .3rem; }
.lead .answer { font-size: 1.15rem; font-weight: 650; margin: .3rem 0; }
.lead li { margin: .45rem 0; }
.lead ol { padding-left: 1.5rem; }
.lead pre { background: var(--paper); border: 1px solid var(--line); border-radius: 6px;
  padding: .5rem .7rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; }
.lead pre span { white-space: nowrap; }
nav { font-size: .92rem; }
nav a { display: inline-block; margin-right: .9rem; padding: .15rem 0; }
a { color: var(--blue); }
figure { margin: 1rem 0; }
figure svg { display: block; width: 100%; max-width: 40rem; height: auto; }
figure svg text { fill: var(--text); }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .3rem 0;
  list-style: none; font-size: .9rem; }
.key svg { display: inline-block; width: 2rem; height: .7rem; margin-right: .4rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .35rem; max-width: min(42rem, 90vw); }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; min-width: 7rem; max-width: 17rem; }
.number { text-align: right; white-space: nowrap; }
.marked td, .marked th { font-weight: 650; }
.matrix td { text-align: center; min-width: 3rem; padding: .35rem .5rem;
  border: 1px solid var(--line); }
.matrix td.right { outline: 2px solid var(--green); outline-offset: -2px; font-weight: 650; }
.matrix thead th { text-align: center; padding: .3rem .5rem; max-width: 8rem; }
.matrix thead th:first-child { text-align: left; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--blue); }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; align-items: flex-start; margin: .4rem 0; }
.pictures figure { margin: 0; width: 96px; }
.pictures figcaption { font-size: .75rem; line-height: 1.3; overflow-wrap: anywhere; }
.thumb { width: 96px; height: 96px; object-fit: contain; background: var(--card);
  border-radius: 6px; display: flex; align-items: center; justify-content: center;
  text-align: center; }
.thumb.none { font-size: .75rem; color: var(--quiet); border: 1px dashed var(--line); }
.wrong .thumb { outline: 3px solid var(--orange); outline-offset: -3px; }
.fine .thumb { outline: 3px solid var(--green); outline-offset: -3px; }
dt { font-weight: 650; margin-top: .7rem; }
dd { margin: 0; }
@media (max-width: 34rem) { body { font-size: 16px; } h1 { font-size: 1.45rem; }
  .lead { padding: .7rem .9rem; } .lead ol { padding-left: 1.2rem; } }
@media print { body { font-size: 11pt; } main { max-width: none; padding: 0; }
  nav { display: none; } .wide { overflow: visible; }
  figure, table, .lead { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""
