-- An index that is created before its rows: loaded by COPY it finds as much as one
-- that is built at the end, and it takes the dimensions from its first row.
SELECT setseed(0.6);
SET enable_seqscan = off;
SET jit = off;

-- ann_hnsw has these tests, too, with fewer rows, as it takes longer to insert one.
-- (Its file is made from this one, in which the name is replaced: hence the halves.)
SELECT CASE WHEN forest THEN 20000 ELSE 4000 END AS rows, CASE WHEN forest THEN 3000 ELSE 15 END AS effort
FROM (SELECT 'annoy' = 'ann' || 'oy' AS forest) s \gset

---- Loading ----

-- vectors of 32 dimensions in 200 clusters, in a file
CREATE TABLE source AS SELECT i AS id, array_agg((sin(c * 31 + j * j) + 2 * random() - 1)::real) AS vec
FROM (SELECT i, floor(200 * random())::int AS c FROM generate_series(1, :rows + 400) i OFFSET 0) s, generate_series(1, 32) j GROUP BY i, c;
CREATE TABLE queries AS SELECT id, vec AS q FROM source WHERE id > :rows;
DELETE FROM source WHERE id > :rows;
\copy source TO 'results/annoy_empty.data'
ALTER TABLE queries ADD tenth float8;
SET enable_seqscan = on;
UPDATE queries SET tenth = (SELECT max(x) FROM (SELECT vec <-> q AS x FROM source ORDER BY vec <-> q LIMIT 10) s);
SET enable_seqscan = off;
-- of both settings each method obeys its own; 0 is the default
CREATE FUNCTION recall(effort int) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('ann.search_k', effort::text, true), set_config('ann.ef_search', effort::text, true);
	RETURN (SELECT sum((SELECT count(*) FROM (SELECT vec <-> q AS x FROM loaded ORDER BY vec <-> q LIMIT 10) s WHERE x <= tenth)) / sum(10) FROM queries);
END
$$;
-- rows of the table, rows that a full scan of the index finds, different ones
CREATE FUNCTION complete(name regclass, dim int DEFAULT 32, operator text DEFAULT '<->')
RETURNS TABLE (rows bigint, found bigint, different bigint) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT (SELECT count(*) FROM (SELECT 1 FROM %1$s OFFSET 0) s), count(*), count(DISTINCT tid) FROM
		(SELECT ctid AS tid FROM %1$s ORDER BY vec %3$s array_fill(0.5, ARRAY[%2$s]) OFFSET 0) s', name, dim, operator);
END
$$;
CREATE TABLE loaded (id int, vec real[]) WITH (autovacuum_enabled = off);
CREATE INDEX loaded_vec ON loaded USING annoy (vec);
SELECT * FROM ann_check('loaded_vec', true) LIMIT 5;
EXPLAIN (COSTS OFF) SELECT ctid FROM loaded ORDER BY vec <-> array_fill(0.5, ARRAY[32]) OFFSET 0;
\copy loaded FROM 'results/annoy_empty.data'
SELECT rows - :rows AS rows, found - rows AS found, different - rows AS different FROM complete('loaded');
SELECT * FROM ann_check('loaded_vec', true) LIMIT 5;
CREATE TABLE recalls (effort int, loaded float8, built float8);
SELECT CASE WHEN r >= 0.95 THEN 'ok' ELSE r::text END AS before_vacuum FROM recall(0) r;
VACUUM loaded;
INSERT INTO recalls SELECT k, recall(k) FROM unnest(ARRAY[0, :effort]) k;
SELECT rows - :rows AS rows, found - rows AS found, different - rows AS different FROM complete('loaded');
SELECT * FROM ann_check('loaded_vec', true) LIMIT 5;
REINDEX INDEX loaded_vec;
UPDATE recalls SET built = recall(effort);
SELECT effort > 0 AS less, CASE WHEN effort > 0 AND built NOT BETWEEN 0.9 AND 0.985 THEN 'measures nothing: ' || built
	WHEN loaded < built - 0.02 THEN loaded || ' instead of ' || built ELSE 'ok' END AS recall FROM recalls ORDER BY effort;
-- TRUNCATE, and the same again
TRUNCATE loaded;
SELECT * FROM ann_check('loaded_vec', true) LIMIT 5;
SELECT * FROM complete('loaded');
\copy loaded FROM 'results/annoy_empty.data'
VACUUM loaded;
SELECT rows - :rows AS rows, found - rows AS found, different - rows AS different FROM complete('loaded');
SELECT * FROM ann_check('loaded_vec', true) LIMIT 5;
SELECT effort > 0 AS less, CASE WHEN r < built - 0.02 THEN r || ' instead of ' || built ELSE 'ok' END AS recall
FROM (SELECT *, recall(effort) AS r FROM recalls) s ORDER BY effort;
-- TRUNCATE in a transaction that is rolled back, and after the first load in one
BEGIN;
TRUNCATE loaded;
INSERT INTO loaded VALUES (1, '{1,2,3}');
ROLLBACK;
SELECT rows - :rows AS rows, found - rows AS found, different - rows AS different FROM complete('loaded');
BEGIN;
TRUNCATE loaded;
INSERT INTO loaded SELECT * FROM source LIMIT 1000;
COMMIT;
SELECT * FROM complete('loaded');
SELECT * FROM ann_check('loaded_vec', true) LIMIT 5;
DROP TABLE loaded, source, queries, recalls;
DROP FUNCTION recall(int);

---- Dimensions of the first row ----

-- What other sessions see may keep rows that are deleted: wait for their end.
CREATE PROCEDURE wait_for_others() LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL) LOOP
		COMMIT;
		PERFORM pg_sleep(0.01);
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
END
$$;
CREATE TABLE items (id serial, vec real[]) WITH (autovacuum_enabled = off);
CREATE INDEX items_vec ON items USING annoy (vec);
CREATE VIEW state AS SELECT (SELECT string_agg(c::text, ', ') FROM (SELECT * FROM ann_check('items_vec', true) LIMIT 5) c) AS problems,
	(SELECT dimensions FROM ann_index_info('items_vec'));
-- of one that is rolled back: those of the next
BEGIN;
INSERT INTO items (vec) VALUES ('{1,2,3}');
SELECT vec FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 1;
ROLLBACK;
INSERT INTO items (vec) VALUES ('{1,2,3,4}');
SELECT vec FROM items ORDER BY vec <-> '{1,2,3,4}' LIMIT 1;
TABLE state;
-- with a row, other dimensions are refused
INSERT INTO items (vec) VALUES ('{1,2,3}');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO items (vec) VALUES ('{4,3,2,1}');
SELECT * FROM complete('items', 4);
SELECT vec FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 1;
TABLE state;
-- all rows deleted, in this transaction and before
DELETE FROM items WHERE vec = '{1,2,3,4}';
INSERT INTO items (vec) VALUES ('{1,2,3}');
BEGIN;
DELETE FROM items;
SAVEPOINT one;
INSERT INTO items (vec) VALUES ('{1,2,3}');
ROLLBACK TO one;
COMMIT;
CALL wait_for_others();
INSERT INTO items (vec) VALUES ('{1,2,3}');
SELECT * FROM complete('items', 3);
SELECT vec FROM items ORDER BY vec <-> '{1,2,3}' LIMIT 5;
TABLE state;
-- and with VACUUM in between, of many rows
INSERT INTO items (vec) SELECT ARRAY[i, 1, 1] FROM generate_series(1, 1000) i;
DELETE FROM items;
CALL wait_for_others();
VACUUM items;
INSERT INTO items (vec) SELECT ARRAY[i, 1] FROM generate_series(1, 1000) i;
SELECT * FROM complete('items', 2);
SELECT * FROM (SELECT vec FROM items ORDER BY vec <-> '{500.1,1}' LIMIT 3) s;
TABLE state;
INSERT INTO items (vec) VALUES ('{1,2,3}');
-- of many rows without VACUUM, and all updated to NULL
UPDATE items SET vec = NULL;
CALL wait_for_others();
INSERT INTO items (vec) SELECT ARRAY[i, 1, 1, 1, 1] FROM generate_series(1, 500) i;
SELECT * FROM complete('items', 5);
SELECT * FROM (SELECT vec FROM items ORDER BY vec <-> '{300.1,1,1,1,1}' LIMIT 3) s;
TABLE state;
VACUUM items;
SELECT * FROM complete('items', 5);
TABLE state;
-- a row that is refused leaves the dimensions as they were
TRUNCATE items;
INSERT INTO items (vec) VALUES ('{1,2,NaN}');
INSERT INTO items (vec) VALUES ('{}');
INSERT INTO items (vec) VALUES ('{1}'), ('{1,2}');
INSERT INTO items (vec) VALUES (NULL), ('{1,2}');
SELECT * FROM complete('items', 2);
TABLE state;
-- savepoints
TRUNCATE items;
BEGIN;
SAVEPOINT one;
INSERT INTO items (vec) VALUES ('{1,2,3}');
ROLLBACK TO one;
INSERT INTO items (vec) VALUES ('{1,2}');
SAVEPOINT two;
INSERT INTO items (vec) VALUES ('{1,2,3}');
ROLLBACK TO two;
INSERT INTO items (vec) VALUES ('{2,1}');
RELEASE two;
COMMIT;
SELECT * FROM complete('items', 2);
TABLE state;
-- again and again: VACUUM finds the room of all that was rolled back
CREATE PROCEDURE change_dimensions() LANGUAGE plpgsql AS $$
BEGIN
	FOR dim IN 1..40 LOOP
		BEGIN
			INSERT INTO items (vec) SELECT array_fill(i, ARRAY[dim]) FROM generate_series(1, 200) i;
			IF dim < 40 THEN
				RAISE division_by_zero;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	END LOOP;
END
$$;
TRUNCATE items;
CALL change_dimensions();
SELECT * FROM complete('items', 40);
TABLE state;
VACUUM items;
SELECT * FROM complete('items', 40);
TABLE state;
DELETE FROM items;
CALL wait_for_others();
VACUUM items;
SELECT pg_relation_size('items_vec') AS before \gset
CALL change_dimensions();
SELECT CASE WHEN pg_relation_size('items_vec') <= 1.1 * :before THEN 'ok' ELSE :before || ', ' || pg_relation_size('items_vec') END AS size;
SELECT * FROM complete('items', 40);
TABLE state;
DROP PROCEDURE change_dimensions();
-- dimensions that are fixed
TRUNCATE items;
DROP VIEW state;
DROP INDEX items_vec;
CREATE INDEX items_vec ON items USING annoy (vec) WITH (dimensions = 3);
INSERT INTO items (vec) VALUES ('{1,2,3,4}');
INSERT INTO items (vec) VALUES ('{1,2,3}');
INSERT INTO items (vec) VALUES ('{1,2,3,4}');
DELETE FROM items;
CALL wait_for_others();
VACUUM items;
INSERT INTO items (vec) VALUES ('{1,2,3,4}');
INSERT INTO items (vec) VALUES ('{1,2,3}');
SELECT * FROM complete('items', 3);
SELECT * FROM ann_check('items_vec', true) LIMIT 5;
-- and changed: new rows have to obey, queries go by the rows that are there
ALTER INDEX items_vec SET (dimensions = 4);
INSERT INTO items (vec) VALUES ('{1,2,3}');
INSERT INTO items (vec) VALUES ('{1,2,3,4}');
INSERT INTO items (vec) VALUES ('{1,2,3,4,5}');
UPDATE items SET vec[1] = 5;
INSERT INTO items (vec) VALUES (NULL);
SELECT * FROM complete('items', 3);
\set VERBOSITY terse
REINDEX INDEX items_vec;
\set VERBOSITY default
ALTER INDEX items_vec RESET (dimensions);
INSERT INTO items (vec) VALUES ('{1,2,3}');
ALTER INDEX items_vec SET (dimensions = 4);
DELETE FROM items;
CALL wait_for_others();
INSERT INTO items (vec) VALUES ('{1,2,3}');
INSERT INTO items (vec) VALUES ('{1,2,3,4}');
SELECT * FROM complete('items', 4);
REINDEX INDEX items_vec;
SELECT * FROM complete('items', 4);
DROP INDEX items_vec;

-- every distance, type and way of storing; with rows of all sorts first
CREATE FUNCTION life(class text, operator text, type text, scalars text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	scalar text;
	results text[];
	firsts text[] := ARRAY['{1,2,3,4,5}', '{0,0,0,0,0}', NULL, '{1e-4,1e-5,0,1e-3,0}'];
BEGIN
	EXECUTE 'CREATE TABLE lives (id int, vec ' || type || ')';
	FOREACH scalar IN ARRAY string_to_array(scalars, ' ') LOOP
		FOR i IN 1..4 LOOP
			EXECUTE format('CREATE INDEX lives_vec ON lives USING annoy (vec %s) WITH (scalar = %s)', class, scalar);
			EXECUTE format('INSERT INTO lives VALUES (0, %L)', firsts[i]);
			INSERT INTO lives SELECT n, array_agg(sin(n * j)) FROM generate_series(1, 300) n, generate_series(1, 5) j GROUP BY n;
			INSERT INTO lives SELECT 1000 + n, CASE WHEN n % 2 = 0 THEN array_fill(0, ARRAY[5]) END FROM generate_series(1, 50) n;
			results := results || (SELECT concat_ws(' ', c::text, (SELECT string_agg(k::text, ' ') FROM (SELECT * FROM ann_check('lives_vec', true) LIMIT 5) k))
				FROM complete('lives', 5, operator) c);
			DROP INDEX lives_vec;
			TRUNCATE lives;
		END LOOP;
	END LOOP;
	DROP TABLE lives;
	RETURN (SELECT string_agg(DISTINCT r, ', ') FROM unnest(results) r);
END
$$;
SELECT type, distance.*, life(type || '_' || d || '_ops', operator, CASE type WHEN 'real' THEN 'real[]' ELSE 'float8[]' END, 'f64 f32 f16 i8 none')
FROM (VALUES ('l2', '<->'), ('cosine', '<=>'), ('ip', '<#>')) distance(d, operator), (VALUES ('real'), ('double')) t(type);
-- more changes than an element page tells apart (256), none of them committed
CREATE TABLE changing (vec real[]) WITH (autovacuum_enabled = off);
CREATE INDEX changing_vec ON changing USING annoy (vec);
DO $$
DECLARE
	dim int;
BEGIN
	FOR i IN 1..130 LOOP
		FOREACH dim IN ARRAY '{50, 7}'::int[] LOOP
			BEGIN
				INSERT INTO changing SELECT array_fill(n::real, ARRAY[dim]) FROM generate_series(1, 20) n;
				RAISE EXCEPTION 'changed my mind';
			EXCEPTION WHEN raise_exception THEN
				NULL;
			END;
		END LOOP;
	END LOOP;
END
$$;
INSERT INTO changing SELECT array_fill(n::real, ARRAY[7]) FROM generate_series(1, 100) n;
SELECT * FROM complete('changing', 7);
SELECT * FROM ann_check('changing_vec', true) LIMIT 5;
VACUUM changing;
SELECT * FROM ann_check('changing_vec', true) LIMIT 5;
DROP TABLE changing;
DROP FUNCTION life(text, text, text, text), complete(regclass, int, text);
DROP PROCEDURE wait_for_others();
DROP TABLE items;
