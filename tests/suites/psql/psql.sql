\set VERBOSITY verbose
select 1/0;
\errverbose
\set VERBOSITY sqlstate
select 1/0;
\set VERBOSITY default
\set SHOW_CONTEXT always
do $$ begin raise notice 'noticed'; raise warning 'warned'; raise exception 'raised'; end $$;
\c
\c
do $$ begin raise notice 'noticed'; end $$;
select 1 as one \gset
select :one + 1;
select format('select %s as n', n) from generate_series(1, 3) n \gexec
\set FETCH_COUNT 7
select generate_series(1, 20);
\unset FETCH_COUNT
\encoding
\encoding LATIN1
show client_encoding;
select 'Müller';
\c
\c
\encoding
show client_encoding;
select length('ü');
\lo_unlink 471100
\lo_import /etc/debian_version
\c
\lo_list
select lo_unlink(oid) > 0 from pg_largeobject_metadata where lomowner = 'app'::regrole;
create table d (n int primary key, t text default 'x' not null);
\d d
\dt d
drop table d;
select 1; select 2; select 3
\;
select 4 \; select 5 \; select 1/0 \; select 6;
\gdesc
select 1 as a, 'x'::text as b \gdesc
\c -reuse-previous=on "application_name=somebody"
show application_name;
\c
\c
show application_name;
\c -reuse-previous=on "options='-c work_mem=5MB'"
show work_mem;
\c
show work_mem;
\if :{?SERVER_VERSION_NUM}
select 'versions known';
\endif
-- psql ends a script there
\c nobody
