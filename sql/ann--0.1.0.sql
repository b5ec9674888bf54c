/* ann--0.1.0.sql: objects of the extension ann */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION ann" to load this file. \quit

CREATE FUNCTION ann_distance_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION ann_distance_support(internal) IS
	'planner support: cost of a distance by dimensions and TOAST';

CREATE FUNCTION ann_simd() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ann_simd() IS
	'instruction set whose distance kernels this server uses';

/*
 * The distances, as functions and operators.
 *
 * A column is real[] or double precision[].  What a query is compared with it
 * arrives in many types: drivers send lists of floats as double precision[],
 * ARRAY[0.1, 0.2] is numeric[], ARRAY[1, 2] is integer[].  There is an operator
 * for each pair of such types, since a gap would be filled by casts in more
 * ways than one, and the query be refused as ambiguous.
 *
 * The functions of one name take operands of one type, and PostgreSQL casts
 * the other: a function name of all pairs would be ambiguous for a quoted
 * literal, which operators take to be of the type of the other operand.  The
 * functions behind operators of two types are called ann_NAME.
 */
DO $$
DECLARE
	types CONSTANT regtype[] := ARRAY['real[]', 'double precision[]', 'numeric[]',
									  'integer[]', 'bigint[]', 'smallint[]'];
	a regtype;
	b regtype;
	distance record;
	function_name text;
BEGIN
	FOR distance IN
		VALUES ('l2_distance', '<->', 'Euclidean distance'),
			   ('cosine_distance', '<=>', 'cosine distance, 1 - cos'),
			   ('negative_inner_product', '<#>', 'negative inner product')
	LOOP
		FOREACH a IN ARRAY types LOOP
			FOREACH b IN ARRAY types LOOP
				function_name := distance.column1;
				IF a OPERATOR(pg_catalog.<>) b THEN
					function_name := pg_catalog.format('ann_%s', distance.column1);
				END IF;
				EXECUTE pg_catalog.format(
					'CREATE FUNCTION %1$I(%3$s, %4$s) RETURNS float8
						AS ''MODULE_PATHNAME'', ''ann_%2$s''
						LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
						SUPPORT ann_distance_support;
					 COMMENT ON FUNCTION %1$I(%3$s, %4$s) IS %6$L;
					 CREATE OPERATOR %5$s (LEFTARG = %3$s, RIGHTARG = %4$s,
						FUNCTION = %1$I, COMMUTATOR = %5$s);
					 COMMENT ON OPERATOR %5$s (%3$s, %4$s) IS %6$L',
					function_name, distance.column1, a, b,
					distance.column2, distance.column3);
			END LOOP;
		END LOOP;
	END LOOP;

	FOREACH a IN ARRAY types LOOP
		b := 'double precision[]';
		IF a OPERATOR(pg_catalog.=) 'real[]'::regtype THEN
			b := a;
		END IF;
		EXECUTE pg_catalog.format(
			'CREATE FUNCTION inner_product(%1$s, %1$s) RETURNS float8
				AS ''MODULE_PATHNAME'', ''ann_inner_product''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
				SUPPORT ann_distance_support;
			 COMMENT ON FUNCTION inner_product(%1$s, %1$s) IS ''inner product'';
			 CREATE FUNCTION l2_norm(%1$s) RETURNS float8
				AS ''MODULE_PATHNAME'', ''ann_l2_norm''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
				SUPPORT ann_distance_support;
			 COMMENT ON FUNCTION l2_norm(%1$s) IS ''Euclidean norm'';
			 CREATE FUNCTION l2_normalize(%1$s) RETURNS %2$s
				AS ''MODULE_PATHNAME'', ''ann_l2_normalize''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
				SUPPORT ann_distance_support;
			 COMMENT ON FUNCTION l2_normalize(%1$s) IS
				''the vector scaled to Euclidean norm 1''',
			a, b);
	END LOOP;
END
$$;
