-- Order and recall: what comes through an index is sorted exactly by the
-- operator, LIMIT gives as many rows as it says, and nearly all of them are the
-- nearest.  For each type, distance and way of storing (scalar); the reference
-- is a sequential scan.
SELECT setseed(0.3);
SET enable_seqscan = off;
SET jit = off;

-- 3,100 rows around 30 centres, farther from them in the first dimensions than in
-- the last; real[] of 24 dimensions (codes of 4 bits), double precision[] of 260
-- (codes of one bit).  No element is a number of half precision, and those of d are
-- none of single precision.
CREATE TABLE points (id integer, r real[], d double precision[]);
ALTER TABLE points ALTER r SET STORAGE PLAIN, ALTER d SET STORAGE PLAIN;
INSERT INTO points
SELECT id, v[9:32]::real[], v FROM (
	SELECT id, (SELECT array_agg(sin(id % 30 * 97 + i) + (random() - 0.5) * 4 / (1 + i / 20.0)) FROM generate_series(1, 260) i) AS v
	FROM generate_series(1, 2700) id OFFSET 0) s;
-- near ties: differences below the rounding of half and of single precision
INSERT INTO points
SELECT id + 2700, (SELECT array_agg(x * (1 + 1e-6 * (id % 7)) ORDER BY i) FROM unnest(r) WITH ORDINALITY e(x, i)),
	(SELECT array_agg(x * (1 + 1e-11 * (id % 7)) ORDER BY i) FROM unnest(d) WITH ORDINALITY e(x, i))
FROM points WHERE id <= 300;
-- and true ties
INSERT INTO points SELECT id + 3000, r, d FROM points WHERE id <= 100;

-- queries beside rows, and some rows themselves
CREATE TABLE queries AS
SELECT id, v[9:32] AS r, v AS d FROM (
	SELECT id, CASE WHEN id % 100 = 0 THEN d ELSE
		(SELECT array_agg(x + (random() - 0.5) * 0.8 ORDER BY i) FROM unnest(d) WITH ORDINALITY e(x, i)) END AS v
	FROM points WHERE id % 25 = 0 AND id <= 2500 OFFSET 0) s;
SELECT count(*) FROM queries;

-- how far the nearest, the 10th, the 30th and the 1,000th row are, and the 10th
-- of those with id % 10 = 3
CREATE TABLE truth (type text, metric text, id integer, d1 float8, d10 float8, d30 float8, d1000 float8, filtered10 float8);
DO $$
DECLARE
	m record;
	c record;
BEGIN
	FOR c IN VALUES ('r'), ('d') LOOP
		FOR m IN VALUES ('l2', '<->'), ('cosine', '<=>'), ('ip', '<#>') LOOP
			EXECUTE format('INSERT INTO truth SELECT %1$L, %3$L, q.id, a[1], a[10], a[30], a[1000], f[10]
				FROM queries q,
				LATERAL (SELECT array_agg(x) AS a, array_agg(x) FILTER (WHERE i %% 10 = 3) AS f
					FROM (SELECT p.id AS i, (p.%1$I %2$s q.%1$I) + 0 AS x FROM points p ORDER BY x) s) s',
				c.column1, m.column2, m.column1);
		END LOOP;
	END LOOP;
END
$$;

-- Distances that come through the index, in the order in which they come.
CREATE FUNCTION ask(sql text, q float8[]) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
	result float8[];
BEGIN
	EXECUTE 'SELECT array_agg(x) FROM (' || sql || ') s' INTO result USING q;
	RETURN coalesce(result, '{}');
END
$$;
CREATE FUNCTION is_sorted(a float8[]) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS
	'SELECT a = array_agg(x ORDER BY x) FROM unnest(a) x';
-- how many are not farther than the n-th nearest
CREATE FUNCTION hits(found float8[], farthest float8) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS
	'SELECT count(*) FROM unnest(found) x WHERE x <= farthest';

-- One line for each scalar: how many answers are not sorted or have not as many
-- rows as they should, and whether the recall of each kind is at least 'floor'
-- (with none, whose codes are of rounded vectors, a little less).
CREATE FUNCTION check_order(col text, measure text, operator text, floor float8)
RETURNS TABLE (scalar text, queries bigint, unsorted bigint, miscounted bigint, recall text, used text) LANGUAGE plpgsql AS $$
DECLARE
	class text := CASE col WHEN 'r' THEN 'real_' ELSE 'double_' END || measure || '_ops';
	least float8;
	query text := format('SELECT %1$I %2$s $1 AS x FROM points %%s ORDER BY %1$I %2$s $1', col, operator);
BEGIN
	FOREACH scalar IN ARRAY ARRAY['f64', 'f32', 'f16', 'i8', 'none'] LOOP
		EXECUTE format('CREATE INDEX points_index ON points USING annoy (%I %I) WITH (scalar = %s)', col, class, scalar);
		least := floor - CASE scalar WHEN 'none' THEN 0.01 ELSE 0 END;
		CREATE TEMP TABLE answers AS
			SELECT id, ask(format(query, '') || ' LIMIT 1', v) AS one,
				ask(format(query, '') || ' LIMIT 10', v) AS ten,
				CASE WHEN id % 125 = 0 THEN ask(format(query, '') || ' LIMIT 1000', v) END AS many,
				CASE WHEN id % 50 = 0 THEN ask(format(query, '') || ' OFFSET 20 LIMIT 10', v) END AS further,
				CASE WHEN id % 50 = 0 THEN ask(format(query, 'WHERE id % 10 = 3') || ' LIMIT 10', v) END AS filtered
			FROM (SELECT q.id, CASE col WHEN 'r' THEN q.r ELSE q.d END AS v FROM queries q) q;
		SELECT count(*),
			count(*) FILTER (WHERE false IN (is_sorted(one), is_sorted(ten), is_sorted(many), is_sorted(further), is_sorted(filtered))),
			count(*) FILTER (WHERE cardinality(one) <> 1 OR cardinality(ten) <> 10 OR cardinality(many) <> 1000 OR
				cardinality(further) <> 10 OR cardinality(filtered) <> 10)
		INTO queries, unsorted, miscounted FROM answers;
		SELECT CASE WHEN r1 >= least AND r10 >= least AND r30 >= least AND r1000 >= least AND rf >= least THEN 'good'
			ELSE concat_ws(' ', r1, r10, r30, r1000, rf) END INTO recall
		FROM (SELECT avg(hits(one, d1)) AS r1, avg(hits(ten, d10) / 10.0) AS r10, avg(hits(many, d1000) / 1000.0) AS r1000,
				avg(1 - (10 - hits(further, d30)) / 30.0) AS r30, avg(hits(filtered, filtered10) / 10.0) AS rf
			FROM answers JOIN truth USING (id) WHERE type = col AND metric = measure) s;
		SELECT idx_scan INTO used FROM pg_stat_xact_user_tables WHERE relname = 'points';
		RETURN NEXT;
		DROP TABLE answers;
		DROP INDEX points_index;
	END LOOP;
END
$$;
SET ann.search_k = 3000;
SET ann.ef_search = 200;
SELECT * FROM check_order('r', 'l2', '<->', 0.99);
SELECT * FROM check_order('r', 'cosine', '<=>', 0.99);
SELECT * FROM check_order('r', 'ip', '<#>', 0.97);
SELECT * FROM check_order('d', 'l2', '<->', 0.99);
SELECT * FROM check_order('d', 'cosine', '<=>', 0.99);
SELECT * FROM check_order('d', 'ip', '<#>', 0.97);

DROP TABLE points, queries, truth;
DROP FUNCTION check_order(text, text, text, float8);
DROP FUNCTION ask(text, float8[]);
DROP FUNCTION hits(float8[], float8);
DROP FUNCTION is_sorted(float8[]);
