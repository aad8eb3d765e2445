create temp table c (n int, t text);
copy c from stdin;
1	one
2	tab\tinside
\N	\N
\.
copy c to stdout;
copy c to stdout (format csv, header, force_quote *);
copy c from stdin (format csv);
3,"three, quoted"
4,
\.
select count(*) from c;
copy c from stdin;
not a number	x
\.
select count(*) from c;
\copy c (n) from program 'seq 100 105'
\copy (select n from c where n > 100 order by n) to pstdout
\copy c to program 'wc -l'
begin;
copy c from stdin;
7	seven
\.
rollback;
select count(*) from c;
copy (select repeat('x', 40) from generate_series(1, 20000)) to stdout \g /dev/null
\c
copy c to stdout;
select 'and on';
