# launcher: mags-launch, kept with the rest so that what is installed does not change under a running program.

inputs_launcher() {
  digest_recipe "$HERE/parts/launcher.sh" "$LAUNCHER_BUILD"
}

build_launcher() { # STAGE
  install -m 755 "$LAUNCHER_BUILD" "$1/mags-launch"
}

digest_launcher() { # STAGE
  digest_tree "$1"
}
