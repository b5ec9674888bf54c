# Split a line of CSV into field[1], field[2], ...; returns how many there are.
function parse_csv(line, field,    i, n, c, quoted) {
	n = 1
	field[1] = ""
	for (i = 1; i <= length(line); i++) {
		c = substr(line, i, 1)
		if (c == "\"")
			quoted = !quoted
		else if (c == "," && !quoted)
			field[++n] = ""
		else
			field[n] = field[n] c
	}
	return n
}

# Columns by the titles of the first line, which is not data: at["median_ms"].
NR == 1 {
	columns = parse_csv($0, field)
	for (i = 1; i <= columns; i++)
		at[field[i]] = i
	next
}

{ parse_csv($0, field) }
