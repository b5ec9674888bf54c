-- Data far from the origin, compared with their spread: coordinates of a map,
-- features around 1,000, timestamps beside small numbers.  Distances between them
-- do not depend on where they are, and recall must not either.
SELECT setseed(0.4);
SET enable_seqscan = off;
SET jit = off;

CREATE TABLE map (id integer, v double precision[]);
INSERT INTO map SELECT i, ARRAY[500000 + random() * 20000, 4600000 + random() * 20000, random() * 300]
FROM generate_series(1, 5000) i;
CREATE TABLE features (id integer, v real[]);
INSERT INTO features SELECT i, (SELECT array_agg(1000 + (sin(i % 100 * 31 + n) + random()) / 2) FROM generate_series(1, 64) n)
FROM generate_series(1, 5000) i;
CREATE TABLE times (id integer, v real[]);
INSERT INTO times SELECT i, ARRAY[1.7e9, random() * 90, random() * 90, random()]
FROM generate_series(1, 5000) i;
-- whole numbers, of which halves lose nothing here; every tenth is there twice
CREATE TABLE whole (id integer, v real[]);
INSERT INTO whole SELECT i, ARRAY[100000 + i % 97, -100000 + i % 89, i % 83] FROM generate_series(1, 4500) i;
INSERT INTO whole SELECT id + 4500, v FROM whole WHERE id <= 500;

-- Queries: rows, and points between them; how far the ten nearest are.
CREATE TABLE queries (of text, q double precision[], d10 double precision);
CREATE FUNCTION ask(of text, q double precision[], plus text DEFAULT '') RETURNS double precision[] LANGUAGE plpgsql AS $$
DECLARE
	result double precision[];
BEGIN
	EXECUTE format('SELECT array_agg(x) FROM (SELECT v <-> $1 AS x FROM %I ORDER BY (v <-> $1) %s LIMIT 10) s', of, plus)
	INTO result USING q;
	RETURN result;
END
$$;
DO $$
DECLARE
	of text;
BEGIN
	FOREACH of IN ARRAY ARRAY['map', 'features', 'times', 'whole'] LOOP
		EXECUTE format('INSERT INTO queries SELECT %1$L, q, (ask(%1$L, q, ''+ 0''))[10] FROM (
			SELECT CASE WHEN a.id %% 2 = 0 THEN a.v::float8[]
				ELSE ARRAY(SELECT (x + y) / 2 FROM unnest(a.v::float8[], b.v::float8[]) WITH ORDINALITY e(x, y, i) ORDER BY i) END AS q
			FROM %1$I a JOIN %1$I b ON b.id = a.id + 1 WHERE a.id %% 99 = 0) s', of);
	END LOOP;
END
$$;

-- One line for each way of storing: answers that are not sorted, whether recall
-- is good, and what is wrong with a scan that is read to its end, in which a few
-- rows may come late.
CREATE FUNCTION is_sorted(a double precision[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS
	'SELECT a = array_agg(x ORDER BY x) FROM unnest(a) x';
CREATE FUNCTION measure(of text, name text, floor double precision, OUT unsorted bigint, OUT recall text, OUT complete text)
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	SELECT count(*) FILTER (WHERE NOT is_sorted(answer)),
		CASE WHEN avg(hits) >= floor THEN 'good' ELSE round(avg(hits)::numeric, 3)::text END INTO unsorted, recall
	FROM (SELECT answer, (SELECT count(*) / 10.0 FROM unnest(answer) x WHERE x <= d10) AS hits
		FROM (SELECT d10, ask(name, q) AS answer FROM queries WHERE queries.of = measure.of OFFSET 0) s) s;
	EXECUTE format('SELECT count(*) FROM %I', name) INTO n;
	EXECUTE format('SELECT CASE WHEN count(*) <> %1$s OR count(DISTINCT id) <> %1$s OR
			count(*) FILTER (WHERE x < before) > 1 OR count(*) FILTER (WHERE x < top) > %1$s / 50
			THEN concat_ws('' '', count(*), count(DISTINCT id), count(*) FILTER (WHERE x < top)) ELSE ''yes'' END
		FROM (SELECT id, x, lag(x) OVER () AS before, max(x) OVER (ROWS UNBOUNDED PRECEDING) AS top
			FROM (SELECT id, v <-> $1 AS x FROM %2$I ORDER BY v <-> $1) s) s', n, name)
	INTO complete USING (SELECT q FROM queries WHERE queries.of = measure.of ORDER BY q LIMIT 1);
END
$$;
CREATE FUNCTION check_built(of text) RETURNS TABLE (scalar text, unsorted bigint, recall text, complete text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH scalar IN ARRAY ARRAY['f64', 'f32', 'f16', 'i8', 'none'] LOOP
		EXECUTE format('CREATE INDEX offset_index ON %I USING annoy (v) WITH (scalar = %s)', of, scalar);
		SELECT m.* INTO unsorted, recall, complete FROM measure(of, of, 0.95) m;
		RETURN NEXT;
		DROP INDEX offset_index;
	END LOOP;
END
$$;
CREATE FUNCTION check_filled(of text) RETURNS TABLE (scalar text, unsorted bigint, recall text, complete text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH scalar IN ARRAY ARRAY['f64', 'f32', 'f16', 'i8', 'none'] LOOP
		EXECUTE format('CREATE TABLE filled (LIKE %I)', of);
		EXECUTE format('CREATE INDEX offset_index ON filled USING annoy (v) WITH (scalar = %s)', scalar);
		EXECUTE format('INSERT INTO filled SELECT * FROM %I', of);
		SELECT m.* INTO unsorted, recall, complete FROM measure(of, 'filled', 0.95) m;
		RETURN NEXT;
		DROP TABLE filled;
	END LOOP;
END
$$;
SELECT * FROM check_built('map');
SELECT * FROM check_built('features');
SELECT * FROM check_built('times');
SELECT * FROM check_built('whole');
SELECT * FROM check_filled('map');
SELECT * FROM check_filled('features');
SELECT * FROM check_filled('times');
SELECT * FROM check_filled('whole');

-- a table whose dimensions are known before it has rows
CREATE TABLE fixed (LIKE map);
CREATE INDEX fixed_index ON fixed USING annoy (v) WITH (dimensions = 3);
SELECT * FROM fixed ORDER BY v <-> '{1,2}' LIMIT 1;
INSERT INTO fixed VALUES (0, '{1,2}');
INSERT INTO fixed SELECT * FROM map;
SELECT * FROM measure('map', 'fixed', 0.95);
-- other dimensions, when all rows are gone: another centre
DROP INDEX fixed_index;
CREATE INDEX fixed_index ON fixed USING annoy (v);
DELETE FROM fixed;
INSERT INTO fixed SELECT id, v::float8[] FROM times;
SELECT * FROM measure('times', 'fixed', 0.95);
VACUUM fixed;
DELETE FROM fixed;
INSERT INTO fixed SELECT * FROM map;
SELECT * FROM measure('map', 'fixed', 0.95);
DROP TABLE fixed;

-- rows before all others that are not where they are
CREATE TABLE outlier (LIKE map);
INSERT INTO outlier VALUES (-1, '{1e12,-1e12,1e12}'), (-2, '{0,0,0}'), (-3, '{1e300,1,1}'), (-4, '{-1e308,1e308,0}');
INSERT INTO outlier SELECT * FROM map;
CREATE INDEX outlier_index ON outlier USING annoy (v);
SELECT * FROM measure('map', 'outlier', 0.95);
-- one that becomes the centre costs recall until the index is built anew, but
-- neither order nor rows
TRUNCATE outlier;
INSERT INTO outlier VALUES (-1, '{1e12,-1e12,1e12}');
INSERT INTO outlier SELECT * FROM map;
SELECT unsorted, complete FROM measure('map', 'outlier', 0);
REINDEX INDEX outlier_index;
SELECT * FROM measure('map', 'outlier', 0.95);
TRUNCATE outlier;
INSERT INTO outlier VALUES (-1, '{1e300,-1e308,1e308}');
INSERT INTO outlier SELECT * FROM map LIMIT 2000;
SELECT unsorted, complete FROM measure('map', 'outlier', 0);
DROP TABLE outlier;

-- queries from far away: at the origin, and beyond it
CREATE INDEX map_index ON map USING annoy (v);
CREATE INDEX features_index ON features USING annoy (v) WITH (scalar = i8);
SELECT of, q, cardinality(found) AS n, is_sorted(found) AS sorted, (SELECT count(*) FROM unnest(found) x WHERE x <= truth[10]) >= 8 AS good
FROM (VALUES ('map', '{0,0,0}'), ('map', '{-4e6,1e7,0.1}'), ('map', '{1e20,0,0}'), ('map', '{1e200,0,0}'), ('map', '{1e308,-1e308,0}'),
	('features', array_fill(0, ARRAY[64])::text), ('features', array_fill(-1e4, ARRAY[64])::text)) f(of, query),
	LATERAL (SELECT CASE WHEN of = 'map' THEN query END AS q, ask(of, query::float8[]) AS found, ask(of, query::float8[], '+ 0') AS truth) s;

DROP TABLE map, features, times, whole, queries;
DROP FUNCTION check_built(text);
DROP FUNCTION check_filled(text);
DROP FUNCTION measure(text, text, double precision);
DROP FUNCTION is_sorted(double precision[]);
DROP FUNCTION ask(text, double precision[], text);
