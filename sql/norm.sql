-- l2_norm and l2_normalize.
SET extra_float_digits = 0;

SELECT l2_norm('{3,4}'::real[]), l2_norm('{3,4}'::float8[]), l2_norm(ARRAY[3, 4]),
	l2_norm(ARRAY[0.3, 0.4]), l2_norm('{3,4}'::bigint[]), l2_norm('{3,4}'::smallint[]);
SELECT l2_norm('{0,0}'::real[]) AS zero, l2_norm('{NaN}'::real[]) AS nan,
	l2_norm('{-Infinity,1}'::real[]) AS infinity, l2_norm('{1e200,1}'::float8[]) AS overflow;
-- full range of real
SELECT l2_norm('{3e38,3e38}'::real[]) BETWEEN 4.24e38 AND 4.25e38 AS large;

SELECT l2_normalize('{3,4}'::real[]), l2_normalize('{3,4}'::float8[]), l2_normalize(ARRAY[3, 4]);
SELECT pg_typeof(l2_normalize('{3,4}'::real[])) AS "real", pg_typeof(l2_normalize(ARRAY[3, 4])) AS "integer",
	pg_typeof(l2_normalize(ARRAY[0.3])) AS "numeric", pg_typeof(l2_normalize('{1}'::bigint[])) AS "bigint";
-- the zero vector has no direction and stays
SELECT l2_normalize('{0,0}'::real[]);
SELECT l2_normalize('{NaN,1}'::real[]), l2_normalize('{Infinity,1}'::real[]);
SELECT array_ndims(l2_normalize('[5:6]={3,4}'::real[])), array_lower(l2_normalize('[5:6]={3,4}'::real[]), 1);

-- norms of normalised vectors are 1, directions stay
SELECT count(*) FILTER (WHERE abs(l2_norm(l2_normalize(v)) - 1) > 1e-6) AS norm,
	count(*) FILTER (WHERE v <=> l2_normalize(v) > 1e-12) AS direction
FROM generate_series(1, 500) i,
	LATERAL (SELECT array_agg(sin(i * j)::real) AS v FROM generate_series(1, 50) j) AS vectors;
