# Packages of the npm registry that npm is configured for. Needs log.sh and debian.sh.

# Fetches the packages a list names to DIR/NAME.tgz and writes the exact ones, `name@version integrity` a line, to
# LOCK_OUT. A line of the list that has an integrity must be met by what the registry gives.
npm_fetch() { # DIR LOCK_OUT LIST
  local dir=$1 lock_out=$2 spec integrity
  lines_of "$3" | while read -r spec integrity; do
    npm pack "$spec" --json --pack-destination "$dir" > "$dir/pack.json" 2> "$dir/pack.log" ||
      { cat "$dir/pack.log" >&2; die "npm cannot fetch $spec"; }
    node -e '
      const { readFileSync, renameSync } = require("node:fs");
      const [dir, wanted] = process.argv.slice(1);
      const packed = Object.values(JSON.parse(readFileSync(`${dir}/pack.json`, "utf8")))[0];
      if (wanted && packed.integrity !== wanted) {
        console.error(`${packed.id} has integrity ${packed.integrity}, the lock says ${wanted}`);
        process.exit(1);
      }
      renameSync(`${dir}/${packed.filename}`, `${dir}/${packed.name}.tgz`);
      console.log(`${packed.name}@${packed.version} ${packed.integrity}`);
    ' "$dir" "$integrity" || die "cannot use the package $spec"
  done | LC_ALL=C sort > "$lock_out"
}
