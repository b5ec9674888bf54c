-- Values of the distances, by eye.  Input errors are in "input", types of the
-- query in "query_types", agreement with another computation in "exact".
SET extra_float_digits = 0;

SELECT l2_distance('{0,0}'::real[], '{3,4}'::real[]);
SELECT l2_distance('{0,0}'::float8[], '{3,4}'::float8[]);
SELECT '{1,2,3}'::real[] <-> '{1,2,3}'::real[] AS same;
SELECT '{0}'::real[] <-> '{-2}'::real[] AS one_dimension;

SELECT inner_product('{1,2,3}'::real[], '{4,5,6}'::real[]);
SELECT negative_inner_product('{1,2,3}'::real[], '{4,5,6}'::real[]);
SELECT '{1,2,3}'::float8[] <#> '{4,5,6}'::float8[] AS ip;
-- no negative zero
SELECT '{1,0}'::real[] <#> '{0,1}'::real[] AS orthogonal;

SELECT cosine_distance('{1,0}'::real[], '{0,1}'::real[]) AS orthogonal;
SELECT '{1,2}'::real[] <=> '{2,4}'::real[] AS parallel;
SELECT '{1,2}'::real[] <=> '{-2,-4}'::real[] AS opposite;
SELECT '{1,1}'::float8[] <=> '{1,0}'::float8[] AS diagonal;
-- within [0, 2] whatever rounding does, and 0 from itself
SELECT count(*) FILTER (WHERE NOT (v <=> v) = 0) AS not_zero,
	count(*) FILTER (WHERE NOT (v <=> w) BETWEEN 0 AND 2) AS outside
FROM generate_series(1, 1000) i,
	LATERAL (SELECT ARRAY[sin(i), cos(i), sin(3 * i)] AS v,
			 ARRAY[-sin(i), -cos(i), -sin(3 * i)] AS w) AS vectors;

-- of parallel vectors 0 but for rounding, and never below
SELECT count(*) FILTER (WHERE NOT (v <=> w) BETWEEN 0 AND 1e-15) AS parallel,
	count(*) FILTER (WHERE NOT (v <=> u) BETWEEN 2 - 1e-15 AND 2) AS opposite
FROM generate_series(1, 1000) i,
	LATERAL (SELECT ARRAY[sin(i), cos(i), sin(3 * i)] AS v,
			 ARRAY[3 * sin(i), 3 * cos(i), 3 * sin(3 * i)] AS w,
			 ARRAY[-3 * sin(i), -3 * cos(i), -3 * sin(3 * i)] AS u) AS vectors;

-- NULL in, NULL out
SELECT NULL::real[] <-> '{1}' AS l2, '{1}'::real[] <=> NULL AS cosine,
	NULL::float8[] <#> '{1}' AS ip, inner_product(NULL::real[], '{1}') AS product,
	l2_norm(NULL::real[]) AS norm, l2_normalize(NULL::real[]) AS normalized;

-- lower bounds do not matter
SELECT '[0:1]={0,0}'::real[] <-> '[5:6]={3,4}'::real[] AS l2;

-- a float is compared at its full value, not at that of its decimal digits
SELECT '{0.1}'::real[] <-> '{0.1}'::real[] AS same,
	('{0.1}'::real[] <-> '{0.1}'::float8[]) BETWEEN 1e-9 AND 2e-9 AS mixed;

-- float accumulation would lose the small term
SELECT inner_product('{1e8,1,-1e8}'::real[], '{1,1,1}'::real[]);
SELECT '{1e20,3}'::real[] <-> '{1e20,-1}'::real[] AS l2;

-- Arithmetic is IEEE 754's: NaN and infinity are no errors.
SELECT d, d <-> '{0,0}' AS l2, d <#> '{1,1}' AS ip, d <=> '{1,1}' AS cosine
FROM unnest(ARRAY['{NaN,1}', '{Infinity,1}', '{-Infinity,1}', '{Infinity,-Infinity}']::text[]) t,
	CAST(t AS real[]) d;
SELECT '{Infinity}'::real[] <-> '{Infinity}'::real[] AS l2;
-- the range of real does not overflow, that of double precision does
SELECT '{3e38}'::real[] <-> '{-3e38}'::real[] AS l2;
SELECT '{1e200}'::float8[] <-> '{-1e200}'::float8[] AS l2,
	'{1e200}'::float8[] <#> '{1e200}'::float8[] AS ip;
SELECT '{1e-200}'::float8[] <-> '{0}'::float8[] AS l2;
-- zero vectors have no direction
SELECT '{0,0}'::real[] <=> '{1,2}'::real[] AS one, '{0,0}'::real[] <=> '{0,0}'::real[] AS both;
SELECT '{0,0}'::float8[] <=> '{1,2}'::real[] AS mixed, '{0,0}'::float8[] <=> '{0,0}'::float8[] AS float8;
-- cosine does not depend on the norms, though their product overflows
SELECT '{1e150,0}'::float8[] <=> '{1e150,1e150}'::float8[] AS large,
	'{1e-150,0}'::float8[] <=> '{1e-150,1e-150}'::float8[] AS small;

-- the order of NaN and NULL is PostgreSQL's
SELECT id, v <=> '{1,0}' AS cosine
FROM (VALUES (1, '{0,0}'::real[]), (2, NULL), (3, '{1,1}'), (4, '{-1,0}')) t(id, v)
ORDER BY v <=> '{1,0}', id;

-- toasted, compressed, and with a short header: the same values
CREATE TABLE stored (id int, vec real[]);
ALTER TABLE stored ALTER vec SET STORAGE EXTENDED;
INSERT INTO stored SELECT 1, array_agg(1) FROM generate_series(1, 5000);
ALTER TABLE stored ALTER vec SET STORAGE EXTERNAL;
INSERT INTO stored SELECT 2, array_agg(1) FROM generate_series(1, 5000);
INSERT INTO stored VALUES (3, '{1,1}');
SELECT id, vec <-> array_fill(2::real, ARRAY[cardinality(vec)]) AS l2 FROM stored ORDER BY id;
DROP TABLE stored;
