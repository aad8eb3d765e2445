-- What pgbench -S asks, and the reset that a pool sends after it: what --reset full can come near to.
\set aid random(1, 100000 * :scale)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
DISCARD ALL;
