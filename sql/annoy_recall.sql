-- ann.target_recall: what a build and VACUUM find out about settings, and what searches
-- make of it.
SELECT setseed(0.7);
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;

-- points of a bent surface of 8 dimensions in 32, and queries that are not rows
CREATE TABLE basis AS SELECT d, array_agg(random() - 0.5) AS w FROM generate_series(1, 32) d, generate_series(1, 16) GROUP BY d;
CREATE FUNCTION point(z float8[]) RETURNS real[] LANGUAGE sql STABLE AS
$$ SELECT array_agg((1 + sin(w[1] * z[1] + w[2] * z[2] + w[3] * z[3] + w[4] * z[4]) + w[5] * z[1] + w[6] * z[2] + w[7] * z[3] + w[8] * z[4]
	+ w[9] * z[5] + w[10] * z[6] + w[11] * z[7] + w[12] * z[8])::real ORDER BY d) FROM basis $$;
CREATE FUNCTION draw(n int) RETURNS SETOF real[] LANGUAGE sql VOLATILE AS
$$ SELECT point(z) FROM (SELECT i, array_agg(4 * random()) AS z FROM generate_series(1, n) i, generate_series(1, 8) GROUP BY i) r $$;
CREATE TABLE rows AS SELECT row_number() OVER () AS id, vec FROM draw(22000) vec;
CREATE TABLE queries AS SELECT row_number() OVER () AS id, vec FROM draw(100) vec;
ALTER TABLE rows SET (autovacuum_enabled = off);

-- Share of the k nearest that the index finds, against a sort of the table.
CREATE FUNCTION recall(tab regclass, operator text, k int, target float8 DEFAULT 0.95) RETURNS numeric LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
	result numeric;
BEGIN
	PERFORM set_config('ann.target_recall', target::text, true);
	EXECUTE format('SELECT avg((SELECT count(*) FILTER (WHERE x <= far) FROM (SELECT t.vec %2$s q.vec AS x FROM %1$s t
			ORDER BY t.vec %2$s q.vec LIMIT %3$s) n)) / %3$s
		FROM (SELECT vec, (SELECT max(x) FROM (SELECT (t.vec %2$s q.vec) + 0 AS x FROM %1$s t ORDER BY 1 LIMIT %3$s) n) AS far
			FROM queries q WHERE id * %3$s <= 2000) q', tab, operator, k) INTO result;
	PERFORM set_config('ann.target_recall', '0.95', true);
	RETURN result;
END $$;
CREATE FUNCTION within(value numeric, low numeric, high numeric DEFAULT 1) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN value BETWEEN low AND high THEN 'good' ELSE value::numeric(6, 4) || ' is not within ' || low || ' and ' || high END $$;
-- Is the calibration one of these limits, each with a ladder that rises to nearly all?
CREATE FUNCTION ladders(index regclass) RETURNS TABLE (row_limit int, shape text) LANGUAGE sql AS $$
	SELECT row_limit, CASE WHEN count(*) FILTER (WHERE next_setting <= setting OR next_recall < recall) = 0 AND min(setting) > 0
		AND min(recall) > 0 AND max(recall) BETWEEN 0.97 AND 1 THEN 'rises' ELSE string_agg(setting || ': ' || recall, ', ' ORDER BY setting) END
	FROM (SELECT *, lead(setting) OVER w AS next_setting, lead(recall) OVER w AS next_recall FROM ann_calibration(index)
		WINDOW w AS (PARTITION BY row_limit ORDER BY setting)) s GROUP BY row_limit ORDER BY row_limit $$;

-- a build: all distances, and what is stored
CREATE FUNCTION try(opclass text, operator text, options text) RETURNS TABLE (what text, ladder text, low text, usual text, high text, problems bigint)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE INDEX rows_vec ON rows USING annoy (vec %I) WITH (%s)', opclass, options);
	RETURN QUERY SELECT concat_ws(' ', opclass, options), (SELECT string_agg(l.row_limit || ' ' || shape, ', ') FROM ladders('rows_vec') l),
		within(recall('rows', operator, 10, 0.7), 0.65), within(recall('rows', operator, 10), 0.92),
		within(recall('rows', operator, 10, 0.99), 0.97), (SELECT count(*) FROM ann_check('rows_vec', true));
	DROP INDEX rows_vec;
END $$;
SELECT * FROM try('real_l2_ops', '<->', 'scalar = f32');
SELECT * FROM try('real_cosine_ops', '<=>', 'scalar = i8');
SELECT * FROM try('real_ip_ops', '<#>', 'scalar = f16');
SELECT * FROM try('real_l2_ops', '<->', 'scalar = none');

-- all limits; without the calibration, a target means more than nothing, too
CREATE INDEX rows_vec ON rows USING annoy (vec);
SELECT k, within(recall('rows', '<->', k), 0.93) AS usual, within(recall('rows', '<->', k, 0.99), 0.975) AS high,
	recall('rows', '<->', k, 0.5) + (k > 1)::int::numeric / 10000 <= recall('rows', '<->', k, 0.999) AS differs FROM unnest(ARRAY[1, 10, 40, 100, 1000]) k;
SELECT count(*) FROM ann_check('rows_vec', true);

-- an explicit setting wins
SET ann.search_k = 20;
SET ann.ef_search = 10;
SELECT recall('rows', '<->', 10, 0.5) = recall('rows', '<->', 10, 0.999) AS same;
RESET ann.search_k;
RESET ann.ef_search;

-- VACUUM finds out anew when a fifth of the rows have changed, and only then
CREATE TABLE before AS SELECT * FROM ann_calibration('rows_vec');
CREATE FUNCTION is_as_before(index regclass) RETURNS boolean LANGUAGE sql AS
$$ SELECT NOT EXISTS ((SELECT * FROM before EXCEPT SELECT * FROM ann_calibration(index)) UNION ALL (SELECT * FROM ann_calibration(index) EXCEPT SELECT * FROM before)) $$;
CREATE PROCEDURE wait_for_others() LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL) LOOP
		COMMIT;
		PERFORM pg_sleep(0.01);
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
END
$$;
DELETE FROM rows WHERE id % 10 = 1;
CALL wait_for_others();
VACUUM rows;
SELECT is_as_before('rows_vec');
INSERT INTO rows SELECT 30000 + row_number() OVER (), vec FROM draw(1000) vec;
VACUUM rows;
SELECT is_as_before('rows_vec');
DELETE FROM rows WHERE id % 5 = 2;
CALL wait_for_others();
VACUUM rows;
SELECT is_as_before('rows_vec');
SELECT * FROM ladders('rows_vec');
SELECT within(recall('rows', '<->', 10), 0.92) AS usual, within(recall('rows', '<->', 10, 0.99), 0.97) AS high;
DROP INDEX rows_vec;

-- an index that was created empty; one without vectors is not calibrated by VACUUM
CREATE TABLE empty (id bigint, vec real[]) WITH (autovacuum_enabled = off);
CREATE INDEX empty_vec ON empty USING annoy (vec);
CREATE INDEX empty_none ON empty USING annoy (vec real_cosine_ops) WITH (scalar = none);
INSERT INTO empty SELECT * FROM rows LIMIT 9000;
SELECT count(*) FROM ann_calibration('empty_vec');
VACUUM empty;
SELECT * FROM ladders('empty_vec');
SELECT count(*) FROM ann_calibration('empty_none');
SELECT within(recall('empty', '<->', 10), 0.92) AS usual;
TRUNCATE empty;
SELECT count(*) FROM ann_calibration('empty_vec');
-- other dimensions: what was found is of no use any more
INSERT INTO empty SELECT * FROM rows LIMIT 9000;
VACUUM empty;
DELETE FROM empty;
CALL wait_for_others();
VACUUM empty;
INSERT INTO empty SELECT i, ARRAY[i, i] FROM generate_series(1, 10) i;
SELECT count(*) FROM ann_calibration('empty_vec');

-- several chunks are searched together, and calibrated so; few rows are not
CREATE TABLE small AS SELECT * FROM rows LIMIT 1000;
CREATE INDEX small_vec ON small USING annoy (vec);
SELECT count(*) FROM ann_calibration('small_vec');
CREATE TABLE wide AS SELECT id, vec, repeat('x', 1500) AS filler FROM rows LIMIT 8000;
CREATE INDEX wide_vec ON wide USING annoy (vec) WITH (chunk_blocks = 1024);
SELECT count(*) FROM ann_chunks('wide_vec');
SELECT * FROM ladders('wide_vec');
SELECT within(recall('wide', '<->', 10), 0.92) AS usual, within(recall('wide', '<->', 100), 0.93) AS usual_100;

-- a partial index, and one of an expression
CREATE INDEX part_vec ON rows USING annoy (vec) WHERE id % 2 = 0;
CREATE INDEX double_vec ON rows USING annoy ((vec::float8[]));
SELECT index, l.* FROM unnest(ARRAY['part_vec', 'double_vec']) index, ladders(index::regclass) l;

-- dead rows that no index could have, in front of living ones, where the index has no vectors
CREATE TABLE revived (id integer PRIMARY KEY, vec real[]) WITH (autovacuum_enabled = off);
INSERT INTO revived SELECT i, ARRAY[random(), random(), CASE WHEN i > 400 THEN random() END] FROM generate_series(1, 9000) i;
DELETE FROM revived WHERE id % 3 = 0;
CALL wait_for_others();
VACUUM revived;
UPDATE revived SET vec = ARRAY[random(), random(), random()] WHERE id <= 400 AND id % 4 = 1;
DELETE FROM revived WHERE id <= 400 AND id % 4 <> 1;
CREATE INDEX revived_vec ON revived USING annoy (vec) WITH (scalar = none);
SELECT * FROM ladders('revived_vec');

-- numbers that squares and floats are too small for
CREATE FUNCTION huge(size float8, opclass text, operator text) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	result bigint;
BEGIN
	CREATE TABLE huge AS SELECT i AS id, ARRAY[random() - 0.5, random() - 0.5, random() - 0.5, i % 2]::float8[] AS vec FROM generate_series(1, 5500) i;
	UPDATE huge SET vec = (SELECT array_agg(x * size) FROM unnest(vec) x);
	EXECUTE format('CREATE INDEX huge_vec ON huge USING annoy (vec %I)', opclass);
	EXECUTE format('SELECT count(*) FROM (SELECT id FROM huge ORDER BY vec %s (SELECT vec FROM huge WHERE id = 77) LIMIT 10) s', operator) INTO result;
	DROP TABLE huge;
	RETURN result;
END
$$;
SELECT size, opclass, huge(size::float8, opclass, operator) FROM unnest(ARRAY['1e-300', '1e100', '1e300']) size,
	(VALUES ('double_l2_ops', '<->'), ('double_cosine_ops', '<=>'), ('double_ip_ops', '<#>')) m(opclass, operator);

-- a target that is none
SET ann.target_recall = 1;
SET ann.target_recall = 0.4;
SET ann.target_recall = 'most';
-- one that was given before the library was there is checked when it comes
\c -
SET ann.target_recall = 2;
LOAD 'ann';
SHOW ann.target_recall;
SET client_min_messages = warning;
DROP TABLE rows, queries, basis, before, empty, small, wide, revived;
DROP FUNCTION point(float8[]), draw(int), recall(regclass, text, int, float8), within(numeric, numeric, numeric), ladders(regclass), try(text, text, text), is_as_before(regclass), huge(float8, text, text);
DROP PROCEDURE wait_for_others();
