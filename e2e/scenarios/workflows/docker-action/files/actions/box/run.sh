echo "box $1 $2"
echo "said=box $INPUT_WHO" >> "$GITHUB_OUTPUT"
echo "by the box" > "$GITHUB_WORKSPACE/made"
