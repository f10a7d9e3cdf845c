# Digests: 64 lowercase hex digits of SHA-256.

# Of a list of words, boundaries included.
digest_words() {
  printf '%s\0' "$@" | sha256sum | cut -d' ' -f1
}

digest_file() { # FILE
  sha256sum < "$1" | cut -d' ' -f1
}

# Of a tree: path, type, mode, owner and link target of everything in it, and the content of every file. Times and the
# order on disk do not count.
digest_tree() { # DIR
  (
    cd "$1"
    export LC_ALL=C
    {
      find . -printf '%p|%y|%m|%U:%G|%l\0' | sort -z
      find . -type f -print0 | sort -z | xargs -0 -r sha256sum -z
    } | sha256sum | cut -d' ' -f1
  )
}
